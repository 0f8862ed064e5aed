/* Floating point: the float nearest to a decimal text, found with integers alone.
 *
 * The text is w * 10^q. With w shifted up to 64 bits and p, the 64 highest bits of 10^q, the true value is
 * within w * p and w * (p + 1), times a power of two. Of the product the 64 highest bits are used: shifted up
 * and cut, they are less than 3 too small, and rounding cuts 11 bits at least. So the result is sure but for
 * about one text in 700, which comes near the middle of two floats. For those, and for powers beyond the table,
 * the C library decides; its text has no point, for which locales have their own character.
 */
#include "values.h"
#include "values_powers.h"
#include "values_words.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define LONGEST 48 /* PostgreSQL prints at most 24 */
#define BITS_OF_DOUBLE 53
#define BIAS_OF_DOUBLE 1023
#define BITS_OF_FLOAT 24
#define BIAS_OF_FLOAT 127

typedef struct {
    bool negative;
    uint64_t digits;
    int power; /* of ten */
} Decimal;

typedef struct {
    uint64_t digits;
    int power; /* of two */
} Binary;

/* --- from text to a decimal ------------------------------------------------------------------------------ */

static const uint64_t SHORT_POWERS[] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000};

/* Append digits to *value, up to what is none; the value wraps around beyond 19. `n` bytes before the end may
 * be read. Returns where it stopped. */
static inline const uint8_t *read_run(const uint8_t *s, const uint8_t *end, size_t n, uint64_t *value) {
    while (s < end) {
        uint64_t values = load_until(s, end, n) ^ ZEROS; /* above a short word is no digit */
        uint64_t others = too_large(values, EACH(ABOVE_9));
        unsigned count = others ? (unsigned)__builtin_ctzll(others) / 8 : 8;
        if (count < 8) {
            /* In two shifts: 64 at once is nothing that C has. */
            *value = *value * SHORT_POWERS[count] + eight_digits(values << 4 * (8 - count) << 4 * (8 - count));
            return s + count;
        }
        *value = *value * 100000000 + eight_digits(values);
        s += 8;
    }
    return s;
}

/* e+20, e-07 or nothing. */
static inline bool read_exponent(const uint8_t *s, const uint8_t *end, int *out) {
    uint64_t value;
    *out = 0;
    if (s == end)
        return true;
    if (*s++ != 'e' || s == end)
        return false;
    bool negative = *s == '-';
    s += negative || *s == '+';
    size_t n = (size_t)(end - s);
    if (!n || n > 4 || !read_short(s, n, &value))
        return false;
    *out = negative ? -(int)value : (int)value;
    return true;
}

/* How many digits there are from the first that is not 0. */
static size_t count_significant(const uint8_t *s, const uint8_t *end) {
    size_t count = 0;
    for (; s < end; s++)
        count += *s != '.' && (count || *s != '0');
    return count;
}

static inline __attribute__((always_inline)) bool read_number(const uint8_t *s, size_t n, Decimal *out) {
    if (!n || n > LONGEST)
        return false;
    const uint8_t *end = s + n, *first = s + (*s == '-');
    out->negative = first != s;
    s = first;
    out->digits = 0;
    s = read_run(s, end, n, &out->digits);
    if (s == first)
        return false;
    long fraction = 0;
    if (s < end && *s == '.') {
        const uint8_t *point = s;
        s = read_run(s + 1, end, n, &out->digits);
        fraction = s - point - 1;
        if (!fraction)
            return false;
    }
    if (s - first > MAX_DIGITS && count_significant(first, s) > MAX_DIGITS)
        return false;
    if (!read_exponent(s, end, &out->power))
        return false;
    out->power -= (int)fraction;
    return true;
}

/* --- from a decimal to the nearest binary ------------------------------------------------------------------ */

/* Of 10^power, for the powers in the table. */
static inline int floor_log2(int power) {
    return power * 217706 / 65536 - (power < 0);
}

/* Round to a number of bits, the first of them set; false where the table cannot tell. */
static inline bool round_binary(const Decimal *decimal, int bits, Binary *out) {
    int power = decimal->power;
    if (power < LOWEST_POWER || power > HIGHEST_POWER)
        return false;
    int shift = __builtin_clzll(decimal->digits);
    uint128 product = (uint128)(decimal->digits << shift) * POWERS_OF_TEN[power - LOWEST_POWER];
    int spare = !(product >> 127);
    uint64_t high = (uint64_t)(product << spare >> 64);
    int cut = 64 - bits;
    uint64_t half = UINT64_C(1) << (cut - 1), rest = high & (2 * half - 1);
    if (rest - (half - 2) <= 2)
        return false;
    out->digits = ((high >> (cut - 1)) + 1) >> 1;
    out->power = cut + 1 - spare - shift + floor_log2(power);
    return true;
}

static const char *print(const Decimal *decimal, char text[LONGEST]) {
    snprintf(text, LONGEST, "%s%" PRIu64 "e%d", decimal->negative ? "-" : "", decimal->digits, decimal->power);
    return text;
}

/* --- floats ------------------------------------------------------------------------------------------------ */

static bool read_special(const uint8_t *s, size_t n, float *out) {
    if (n == 3 && !memcmp(s, "NaN", 3))
        *out = NAN;
    else if (n == 8 && !memcmp(s, "Infinity", 8))
        *out = INFINITY;
    else if (n == 9 && !memcmp(s, "-Infinity", 9))
        *out = -INFINITY;
    else
        return false;
    return true;
}

static bool read_special64(const uint8_t *s, size_t n, double *out) {
    float value;
    if (!read_special(s, n, &value))
        return false;
    *out = (double)value;
    return true;
}

bool read_float64(const uint8_t *s, size_t n, double *out) {
    Decimal decimal;
    Binary binary;
    char text[LONGEST];
    if (!read_number(s, n, &decimal))
        return read_special64(s, n, out);
    uint64_t bits = (uint64_t)decimal.negative << 63;
    if (decimal.digits) {
        if (!round_binary(&decimal, BITS_OF_DOUBLE, &binary)) {
            *out = strtod(print(&decimal, text), NULL);
            return !isinf(*out);
        }
        /* The first bit is not stored: as one, or two after rounding up, it adds to the exponent. */
        int exponent = binary.power + BIAS_OF_DOUBLE + BITS_OF_DOUBLE - 2;
        bits |= ((uint64_t)exponent << (BITS_OF_DOUBLE - 1)) + binary.digits;
    }
    memcpy(out, &bits, sizeof bits);
    return true;
}

bool read_float32(const uint8_t *s, size_t n, float *out) {
    Decimal decimal;
    Binary binary;
    char text[LONGEST];
    if (!read_number(s, n, &decimal))
        return read_special(s, n, out);
    uint32_t bits = (uint32_t)decimal.negative << 31;
    if (decimal.digits) {
        bool sure = round_binary(&decimal, BITS_OF_FLOAT, &binary);
        int exponent = sure ? binary.power + BIAS_OF_FLOAT + BITS_OF_FLOAT - 2 : -1;
        if (exponent < 0 || exponent >= 2 * BIAS_OF_FLOAT - 1) { /* subnormal, or perhaps too large */
            *out = strtof(print(&decimal, text), NULL);
            return !isinf(*out);
        }
        bits |= ((uint32_t)exponent << (BITS_OF_FLOAT - 1)) + (uint32_t)binary.digits;
    }
    memcpy(out, &bits, sizeof bits);
    return true;
}
