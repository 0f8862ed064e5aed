/* Eight characters at a time, as one number: what the value parsers have in common.
 *
 * The first character is the lowest byte. "Digit values" are characters xor '0': a byte is 0..9 if and only if
 * it was a digit. Separators are checked by the same xor, which makes 0 of the one that is wanted.
 */
#ifndef ETL_POSTGRES_CDC_VALUES_WORDS_H
#define ETL_POSTGRES_CDC_VALUES_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "written for little-endian machines; the others have the decoder in Python"
#endif

#define EACH(byte) (0x0101010101010101u * (uint64_t)(byte))
#define HIGH_BITS EACH(0x80)
#define ZEROS EACH('0')
/* Added to a byte, these set its high bit if it is above 9, and above 0. */
#define ABOVE_9 0x76
#define ABOVE_0 0x7f

#define MAX_DIGITS 19 /* that always fit uint64_t */

__extension__ typedef unsigned __int128 uint128;
__extension__ typedef __int128 int128;

static inline uint64_t load8(const uint8_t *s) {
    uint64_t word;
    memcpy(&word, s, sizeof word);
    return word;
}

static inline uint32_t load4(const uint8_t *s) {
    uint32_t word;
    memcpy(&word, s, sizeof word);
    return word;
}

/* 1..8 bytes, none read beyond; the bytes above are 0. Loads overlap instead of looping. */
static inline uint64_t load_short(const uint8_t *s, size_t n) {
    if (n == 8)
        return load8(s);
    if (n >= 4)
        return load4(s) | (uint64_t)load4(s + n - 4) << 8 * (n - 4);
    return s[0] | (uint64_t)s[n / 2] << 8 * (n / 2) | (uint64_t)s[n - 1] << 8 * (n - 1);
}

/* Up to 8 bytes from s < end; the bytes above are 0. With n >= 8 bytes before the end, none is read beyond. */
static inline uint64_t load_until(const uint8_t *s, const uint8_t *end, size_t n) {
    size_t left = (size_t)(end - s);
    if (left >= 8)
        return load8(s);
    return n >= 8 ? load8(end - 8) >> 8 * (8 - left) : load_short(s, left);
}

/* The high bits of the bytes that are too large; `limits` holds ABOVE_9 or ABOVE_0 for each byte. Only the
 * lowest is reliable: a byte of 0x81 or more may carry into the next. */
static inline uint64_t too_large(uint64_t values, uint64_t limits) {
    return (values | (values + limits)) & HIGH_BITS;
}

static inline bool are_digits(uint64_t values) {
    return !too_large(values, EACH(ABOVE_9));
}

/* Each byte becomes the two-digit number that begins there. */
static inline uint64_t pairs(uint64_t values) {
    return values * 10 + (values >> 8);
}

static inline uint32_t byte_at(uint64_t word, int place) {
    return (uint32_t)(word >> 8 * place & 0xff);
}

/* The number of eight digit values. */
static inline uint64_t eight_digits(uint64_t values) {
    values = pairs(values) & 0x00ff00ff00ff00ff;
    values = (values * 100 + (values >> 16)) & 0x0000ffff0000ffff;
    return (values * 10000 + (values >> 32)) & 0xffffffff;
}

/* The number of 1..8 digits. */
static inline bool read_short(const uint8_t *s, size_t n, uint64_t *out) {
    unsigned padding = 64 - 8 * (unsigned)n;
    uint64_t values = (load_short(s, n) ^ (ZEROS >> padding)) << padding;
    *out = eight_digits(values);
    return are_digits(values);
}

/* The number of eight digits. */
static inline bool read_eight(const uint8_t *s, uint64_t *out) {
    uint64_t values = load8(s) ^ ZEROS;
    *out = eight_digits(values);
    return are_digits(values);
}

/* The number of 1..MAX_DIGITS digits, nothing else. */
static inline bool read_digits(const uint8_t *s, size_t n, uint64_t *out) {
    uint64_t high, middle, low;
    if (n - 1 < 8)
        return read_short(s, n, out);
    if (n - 1 >= MAX_DIGITS || !read_eight(s + n - 8, &low))
        return false;
    if (n <= 16) {
        if (!read_short(s, n - 8, &high))
            return false;
        *out = high * 100000000 + low;
        return true;
    }
    if (!read_eight(s + n - 16, &middle) || !read_short(s, n - 16, &high))
        return false;
    *out = (high * 100000000 + middle) * 100000000 + low;
    return true;
}

#endif
