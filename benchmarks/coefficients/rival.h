#ifdef __cplusplus
extern "C" {
#endif

struct rival;
struct rival* rival_create(void);
void rival_destroy(struct rival*);
/* Number of blocks; -1 if libjpeg refuses the file. */
long rival_read(struct rival*, const unsigned char* data, unsigned long size);
/* Of all coefficients, to see that both readers do the same; -1 if libjpeg refuses the file. */
long rival_checksum(struct rival*, const unsigned char* data, unsigned long size);

#ifdef __cplusplus
}
#endif
