/* libjpeg-turbo as its manual says: the rival of loading.py (through libjpeg.py) and of coefficients.cpp. */
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

#ifndef LIBJPEG_TURBO_VERSION
#error "these are the headers of another libjpeg, not of libjpeg-turbo"
#endif
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

/* One decompressor per thread serves file after file: making a new one for each would cost more. */
static _Thread_local struct {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    jmp_buf escape;
    int ready;
    unsigned char* pixels;
    size_t capacity;
} mine;

static void leave(j_common_ptr info) {
    (void)info;
    longjmp(mine.escape, 1);
}

static void stay_silent(j_common_ptr info, int level) {
    (void)info;
    (void)level;
}

static struct jpeg_decompress_struct* open_file(const unsigned char* file, unsigned long size) {
    if (!mine.ready) {
        mine.info.err = jpeg_std_error(&mine.errors);
        mine.errors.error_exit = leave;
        mine.errors.emit_message = stay_silent;
        jpeg_create_decompress(&mine.info);
        mine.ready = 1;
    }
    jpeg_mem_src(&mine.info, (unsigned char*)file, size);
    jpeg_read_header(&mine.info, TRUE);
    return &mine.info;
}

const char* libjpeg_version(void) { return TEXT(LIBJPEG_TURBO_VERSION); }

/* Reads the quantised coefficients of a file and drops them. Returns 0, or -1 for a damaged file. */
int libjpeg_read_coefficients(const unsigned char* file, unsigned long size) {
    if (setjmp(mine.escape)) {
        jpeg_abort_decompress(&mine.info);
        return -1;
    }
    struct jpeg_decompress_struct* info = open_file(file, size);
    jpeg_read_coefficients(info);
    jpeg_finish_decompress(info);
    return 0;
}

/* Decodes a file to RGB, row by row into one buffer, and drops it. Returns 0, or -1 for a damaged file. */
int libjpeg_decode_rgb(const unsigned char* file, unsigned long size) {
    if (setjmp(mine.escape)) {
        jpeg_abort_decompress(&mine.info);
        return -1;
    }
    struct jpeg_decompress_struct* info = open_file(file, size);
    info->out_color_space = JCS_RGB;
    jpeg_start_decompress(info);
    const size_t stride = (size_t)info->output_width * 3;
    if (stride * info->output_height > mine.capacity) {
        free(mine.pixels);
        mine.capacity = stride * info->output_height;
        mine.pixels = malloc(mine.capacity);
        if (mine.pixels == NULL) abort();
    }
    while (info->output_scanline < info->output_height) {
        JSAMPROW rows[8];
        for (int r = 0; r < 8; ++r) rows[r] = mine.pixels + stride * (info->output_scanline + r);
        const JDIMENSION left = info->output_height - info->output_scanline;
        jpeg_read_scanlines(info, rows, left < 8 ? left : 8);
    }
    jpeg_finish_decompress(info);
    return 0;
}

/* Copies the dequantised coefficients of components [first, last) of a file into `planes`, natural order, one
 * component after the other, each (blocks_high, blocks_wide, 64) of int16. `capacity` is in values. Returns the
 * number of values written, or -1 for a damaged file or too small a capacity. */
long libjpeg_planes(const unsigned char* file, unsigned long size, int first, int last, short* planes,
                    long capacity) {
    if (setjmp(mine.escape)) {
        jpeg_abort_decompress(&mine.info);
        return -1;
    }
    struct jpeg_decompress_struct* info = open_file(file, size);
    jvirt_barray_ptr* arrays = jpeg_read_coefficients(info);
    long written = 0;
    for (int c = first; c < last && c < info->num_components; ++c) {
        const jpeg_component_info* component = &info->comp_info[c];
        const UINT16* table = component->quant_table->quantval;
        const long row_values = (long)component->width_in_blocks * 64;
        for (JDIMENSION row = 0; row < component->height_in_blocks; ++row) {
            if (written + row_values > capacity) longjmp(mine.escape, 1);
            JBLOCKARRAY blocks = info->mem->access_virt_barray((j_common_ptr)info, arrays[c], row, 1, FALSE);
            const JCOEF* in = blocks[0][0];
            for (long k = 0; k < row_values; ++k) planes[written + k] = (short)(in[k] * table[k & 63]);
            written += row_values;
        }
    }
    jpeg_finish_decompress(info);
    return written;
}
