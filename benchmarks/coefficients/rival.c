/* libjpeg-turbo as its users call it: coefficients of a file in memory. Reads of one file after another share one
   decompressor, as this is fastest. */
#include "rival.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jpeglib.h>

struct rival {
    struct jpeg_decompress_struct decompressor;
    struct jpeg_error_mgr errors;
    jmp_buf failed;
};

static void fail(j_common_ptr info) {
    struct rival* rival = (struct rival*)info->client_data;
    longjmp(rival->failed, 1);
}

static void be_silent(j_common_ptr info) { (void)info; }

struct rival* rival_create(void) {
    struct rival* rival = calloc(1, sizeof *rival);
    if (!rival) return NULL;
    rival->decompressor.err = jpeg_std_error(&rival->errors);
    rival->errors.error_exit = fail;
    rival->errors.output_message = be_silent;
    jpeg_create_decompress(&rival->decompressor);
    rival->decompressor.client_data = rival;
    return rival;
}

void rival_destroy(struct rival* rival) {
    jpeg_destroy_decompress(&rival->decompressor);
    free(rival);
}

long rival_read(struct rival* rival, const unsigned char* data, unsigned long size) {
    struct jpeg_decompress_struct* decompressor = &rival->decompressor;
    if (setjmp(rival->failed)) {
        jpeg_abort_decompress(decompressor);
        return -1;
    }
    jpeg_mem_src(decompressor, data, size);
    jpeg_read_header(decompressor, TRUE);
    jvirt_barray_ptr* planes = jpeg_read_coefficients(decompressor);
    long blocks = 0;
    for (int i = 0; i < decompressor->num_components; ++i) {
        blocks += (long)decompressor->comp_info[i].width_in_blocks * decompressor->comp_info[i].height_in_blocks;
    }
    if (!planes) blocks = -1;
    jpeg_abort_decompress(decompressor); /* gives the planes back, keeps the decompressor */
    return blocks;
}

long rival_checksum(struct rival* rival, const unsigned char* data, unsigned long size) {
    struct jpeg_decompress_struct* decompressor = &rival->decompressor;
    if (setjmp(rival->failed)) {
        jpeg_abort_decompress(decompressor);
        return -1;
    }
    jpeg_mem_src(decompressor, data, size);
    jpeg_read_header(decompressor, TRUE);
    jvirt_barray_ptr* planes = jpeg_read_coefficients(decompressor);
    unsigned long sum = 0;
    for (int i = 0; i < decompressor->num_components; ++i) {
        const jpeg_component_info* component = &decompressor->comp_info[i];
        for (JDIMENSION row = 0; row < component->height_in_blocks; ++row) {
            JBLOCKARRAY blocks = decompressor->mem->access_virt_barray((j_common_ptr)decompressor, planes[i], row, 1, FALSE);
            for (JDIMENSION column = 0; column < component->width_in_blocks; ++column) {
                for (int k = 0; k < 64; ++k) sum = sum * 31 + (unsigned long)(long)blocks[0][column][k];
            }
        }
    }
    jpeg_abort_decompress(decompressor);
    return (long)(sum >> 1);
}
