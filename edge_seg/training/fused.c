/* Batch norm and ReLU in one, over bfloat16 pixels: see fused.py.
 *
 * A tensor is `rows` of `width` values; column c of a row always belongs to the same channel. Rows
 * come in CHUNKS parts whatever the number of threads, and parts are added in order, so that
 * results do not depend on it. Compilers turn the inner loops into vector code by themselves.
 */
#include <stdint.h>
#include <string.h>

#define CHUNKS 64
#define BLOCK 128 /* rows summed in float before the sum goes to double */

typedef uint16_t bf16;

static inline float widen(bf16 value) {
    uint32_t bits = (uint32_t)value << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* To the nearest, ties to even. */
static inline bf16 narrow(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return (bf16)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

static long first_row(long rows, long chunk) { return rows * chunk / CHUNKS; }

/* sums[chunk][0][c] = sum of x, sums[chunk][1][c] = sum of x * x */
void moments(long rows, long width, int threads, const bf16 *x, double *sums) {
#pragma omp parallel for num_threads(threads)
    for (long chunk = 0; chunk < CHUNKS; chunk++) {
        double *total = sums + 2 * width * chunk;
        long end = first_row(rows, chunk + 1);
        for (long row = first_row(rows, chunk); row < end;) {
            long stop = row + BLOCK < end ? row + BLOCK : end;
            float one[width], two[width];
            memset(one, 0, sizeof one);
            memset(two, 0, sizeof two);
            for (; row < stop; row++) {
                const bf16 *restrict in = x + row * width;
                for (long c = 0; c < width; c++) {
                    float value = widen(in[c]);
                    one[c] += value;
                    two[c] += value * value;
                }
            }
            for (long c = 0; c < width; c++) {
                total[c] += one[c];
                total[width + c] += two[c];
            }
        }
    }
}

/* y = max(0, scale * x + shift) */
void forward(long rows, long width, int threads, const bf16 *x, const float *scale,
             const float *shift, bf16 *y) {
#pragma omp parallel for num_threads(threads)
    for (long chunk = 0; chunk < CHUNKS; chunk++) {
        for (long row = first_row(rows, chunk); row < first_row(rows, chunk + 1); row++) {
            const bf16 *restrict in = x + row * width;
            bf16 *restrict out = y + row * width;
            for (long c = 0; c < width; c++) {
                float value = scale[c] * widen(in[c]) + shift[c];
                out[c] = narrow(value < 0 ? 0 : value); /* NaN stays */
            }
        }
    }
}

/* With d = dy where y is above 0: sums[chunk][0][c] = sum of d, [1][c] = sum of d * x */
void products(long rows, long width, int threads, const bf16 *x, const bf16 *dy,
              const float *scale, const float *shift, double *sums) {
#pragma omp parallel for num_threads(threads)
    for (long chunk = 0; chunk < CHUNKS; chunk++) {
        double *total = sums + 2 * width * chunk;
        long end = first_row(rows, chunk + 1);
        for (long row = first_row(rows, chunk); row < end;) {
            long stop = row + BLOCK < end ? row + BLOCK : end;
            float one[width], two[width];
            memset(one, 0, sizeof one);
            memset(two, 0, sizeof two);
            for (; row < stop; row++) {
                const bf16 *restrict in = x + row * width, *restrict back = dy + row * width;
                for (long c = 0; c < width; c++) {
                    float value = widen(in[c]);
                    float d = scale[c] * value + shift[c] > 0 ? widen(back[c]) : 0;
                    one[c] += d;
                    two[c] += d * value;
                }
            }
            for (long c = 0; c < width; c++) {
                total[c] += one[c];
                total[width + c] += two[c];
            }
        }
    }
}

/* dx = a * d + b * x + e, d as above */
void backward(long rows, long width, int threads, const bf16 *x, const bf16 *dy,
              const float *scale, const float *shift, const float *a, const float *b,
              const float *e, bf16 *dx) {
#pragma omp parallel for num_threads(threads)
    for (long chunk = 0; chunk < CHUNKS; chunk++) {
        for (long row = first_row(rows, chunk); row < first_row(rows, chunk + 1); row++) {
            const bf16 *restrict in = x + row * width, *restrict back = dy + row * width;
            bf16 *restrict out = dx + row * width;
            for (long c = 0; c < width; c++) {
                float value = widen(in[c]);
                float d = scale[c] * value + shift[c] > 0 ? widen(back[c]) : 0;
                out[c] = narrow(a[c] * d + b[c] * value + e[c]);
            }
        }
    }
}
