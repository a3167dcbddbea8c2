/* What libjpeg-turbo does with a JPEG file, written as its manual says: compiled and called by libjpeg.py. */
#include <setjmp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#ifndef LIBJPEG_TURBO_VERSION
#error "these are the headers of another libjpeg, not of libjpeg-turbo"
#endif
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

typedef struct {
    struct jpeg_error_mgr base;
    jmp_buf escape;
} ErrorManager;

static void leave(j_common_ptr info) { longjmp(((ErrorManager*)info->err)->escape, 1); }

static void stay_silent(j_common_ptr info, int level) {
    (void)info;
    (void)level;
}

static void start(struct jpeg_decompress_struct* info, ErrorManager* errors) {
    info->err = jpeg_std_error(&errors->base);
    errors->base.error_exit = leave;
    errors->base.emit_message = stay_silent;
    jpeg_create_decompress(info);
}

const char* libjpeg_version(void) { return TEXT(LIBJPEG_TURBO_VERSION); }

/* Reads the quantised coefficients of each file and drops them. Returns how many files it could read. */
int libjpeg_read_coefficients(int count, const unsigned char* const* files, const unsigned long* sizes) {
    struct jpeg_decompress_struct info;
    ErrorManager errors;
    volatile int done = 0;
    start(&info, &errors);
    if (setjmp(errors.escape) == 0) {
        for (int i = 0; i < count; ++i) {
            jpeg_mem_src(&info, (unsigned char*)files[i], sizes[i]);
            jpeg_read_header(&info, TRUE);
            jpeg_read_coefficients(&info);
            jpeg_finish_decompress(&info);
            ++done;
        }
    }
    jpeg_destroy_decompress(&info);
    return done;
}

/* Decodes each file to RGB, row by row into one buffer, and drops it. Returns how many files it could decode. */
int libjpeg_decode_rgb(int count, const unsigned char* const* files, const unsigned long* sizes) {
    struct jpeg_decompress_struct info;
    ErrorManager errors;
    unsigned char* volatile pixels = NULL;
    volatile size_t capacity = 0;
    volatile int done = 0;
    start(&info, &errors);
    if (setjmp(errors.escape) == 0) {
        for (int i = 0; i < count; ++i) {
            jpeg_mem_src(&info, (unsigned char*)files[i], sizes[i]);
            jpeg_read_header(&info, TRUE);
            info.out_color_space = JCS_RGB;
            jpeg_start_decompress(&info);
            const size_t stride = (size_t)info.output_width * 3;
            if (stride * info.output_height > capacity) {
                free(pixels);
                capacity = stride * info.output_height;
                pixels = malloc(capacity);
                if (pixels == NULL) break;
            }
            while (info.output_scanline < info.output_height) {
                JSAMPROW rows[8];
                for (int r = 0; r < 8; ++r) rows[r] = pixels + stride * (info.output_scanline + r);
                const JDIMENSION left = info.output_height - info.output_scanline;
                jpeg_read_scanlines(&info, rows, left < 8 ? left : 8);
            }
            jpeg_finish_decompress(&info);
            ++done;
        }
    }
    jpeg_destroy_decompress(&info);
    free(pixels);
    return done;
}

/* Copies the dequantised coefficients of components [first, last) of one file into `planes`, natural order, one
 * component behind the other, each (blocks_high, blocks_wide, 64) of int16. `capacity` is in values. Returns the
 * number of values written, or -1. */
long libjpeg_planes(const unsigned char* file, unsigned long size, int first, int last, short* planes, long capacity) {
    struct jpeg_decompress_struct info;
    ErrorManager errors;
    volatile long written = 0;
    start(&info, &errors);
    if (setjmp(errors.escape) == 0) {
        jpeg_mem_src(&info, (unsigned char*)file, size);
        jpeg_read_header(&info, TRUE);
        jvirt_barray_ptr* arrays = jpeg_read_coefficients(&info);
        for (int c = first; c < last && c < info.num_components && written >= 0; ++c) {
            const jpeg_component_info* component = &info.comp_info[c];
            const UINT16* table = component->quant_table->quantval;
            const long row_values = (long)component->width_in_blocks * 64;
            for (JDIMENSION row = 0; row < component->height_in_blocks; ++row) {
                if (written + row_values > capacity) {
                    written = -1;
                    break;
                }
                JBLOCKARRAY blocks =
                    info.mem->access_virt_barray((j_common_ptr)&info, arrays[c], row, 1, FALSE);
                short* out = planes + written;
                const JCOEF* in = blocks[0][0];
                for (long k = 0; k < row_values; ++k) out[k] = (short)(in[k] * table[k & 63]);
                written += row_values;
            }
        }
        if (written >= 0) jpeg_finish_decompress(&info);
    } else {
        written = -1;
    }
    jpeg_destroy_decompress(&info);
    return written;
}
