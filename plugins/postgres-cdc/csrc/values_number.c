/* Integers and numerics. */
#include "values.h"
#include "values_words.h"

#define MAX_PRECISION 38
#define GROUP 4 /* digits in one of numeric_send's */
#define GROUP_BASE 10000
#define NUMERIC_HEADER 8
#define NUMERIC_POSITIVE 0x0000
#define NUMERIC_NEGATIVE 0x4000

#define E18 ((uint128)1000000000000000000u)
#define THREE(first) (first), (first) * 10, (first) * 100
#define NINE(first) THREE(first), THREE((first) * 1000), THREE((first) * 1000000)

/* Of ten. */
static const uint128 POWERS[MAX_PRECISION + 1] = {
    NINE((uint128)1), NINE((uint128)1000000000), NINE(E18), NINE(E18 * 1000000000), THREE(E18 * E18),
};

bool read_int(const uint8_t *s, size_t n, int64_t low, int64_t high, int64_t *out) {
    bool negative = n && s[0] == '-';
    uint64_t value;
    if (!read_digits(s + negative, n - negative, &value) || value > (uint64_t)INT64_MAX + negative)
        return false;
    *out = (int64_t)(negative ? 0 - value : value);
    return *out >= low && *out <= high;
}

static void store(uint128 value, bool negative, uint8_t out[16]) {
    if (negative)
        value = 0 - value;
    memcpy(out, &value, sizeof value);
}

/* The number of 0..38 digits. */
static inline bool read_wide(const uint8_t *s, size_t n, uint128 *out) {
    uint64_t high = 0, low = 0;
    size_t rest = n > MAX_DIGITS ? n - MAX_DIGITS : 0;
    if ((rest && !read_digits(s, rest, &high)) || (n && !read_digits(s + rest, n - rest, &low)))
        return false;
    *out = high * POWERS[MAX_DIGITS] + low;
    return true;
}

/* Where the point is, n without one. With a declared scale it is where the scale says. */
static inline size_t find_point(const uint8_t *s, size_t n, size_t scale) {
    if (n > scale && s[n - scale - 1] == '.')
        return n - scale - 1;
    const uint8_t *found = n ? memchr(s, '.', n) : NULL;
    return found ? (size_t)(found - s) : n;
}

/* The unscaled value of the digits before and after the point, in up to MAX_DIGITS digits. */
static inline bool join_narrow(const uint8_t *s, size_t n, const uint8_t *after, size_t digits, size_t places,
                               uint128 *out) {
    uint64_t whole, part = 0;
    if (!read_digits(s, n, &whole) || (digits && !read_digits(after, digits, &part)))
        return false;
    *out = whole * (uint64_t)POWERS[places] + part * (uint64_t)POWERS[places - digits];
    return true;
}

/* The same in up to 38 digits. */
static bool join_wide(const uint8_t *s, size_t n, const uint8_t *after, size_t digits, size_t places,
                      uint128 *out) {
    uint128 whole, part;
    if (!read_wide(s, n, &whole) || !read_wide(after, digits, &part))
        return false;
    if (whole >= POWERS[MAX_PRECISION - places])
        return false;
    *out = whole * POWERS[places] + part * POWERS[places - digits];
    return true;
}

bool read_decimal(const uint8_t *s, size_t n, int precision, int scale, uint8_t out[16]) {
    size_t places = (size_t)scale;
    bool negative = n && s[0] == '-';
    s += negative;
    n -= negative;
    size_t point = find_point(s, n, places);
    size_t digits = point < n ? n - point - 1 : 0;
    const uint8_t *after = s + (n - digits);
    if (!point || (point < n && !digits))
        return false;
    for (; digits > places; digits--)
        if (after[digits - 1] != '0')
            return false;
    uint128 value;
    bool valid = point + places <= MAX_DIGITS ? join_narrow(s, point, after, digits, places, &value)
                                              : join_wide(s, point, after, digits, places, &value);
    if (!valid)
        return false;
    store(value, negative, out);
    return value < POWERS[precision];
}

static inline int get2(const uint8_t *s) {
    return s[0] << 8 | s[1];
}

/* Append decimal digits to a value; false beyond 38. */
static inline bool append(uint128 *value, int digits, uint128 more) {
    if (*value >= POWERS[MAX_PRECISION - digits])
        return false;
    *value = *value * POWERS[digits] + more;
    return true;
}

/* Append the digits of a group down to 10^-scale, where `power` is the group's last digit over 10^-scale. What
 * is below must be zero. */
static inline bool append_group(uint128 *value, int group, int power) {
    if (power >= 0)
        return append(value, GROUP, (uint128)group);
    if (power <= -GROUP)
        return !group;
    int cut = (int)POWERS[-power];
    return group % cut == 0 && append(value, GROUP + power, (uint128)(group / cut));
}

bool binary_decimal(const uint8_t *s, size_t n, int precision, int scale, uint8_t out[16]) {
    if (n < NUMERIC_HEADER)
        return false;
    int groups = get2(s), sign = get2(s + 4);
    int power = (int16_t)get2(s + 2) * GROUP + scale; /* of the first group's last digit, over 10^-scale */
    if (n != NUMERIC_HEADER + 2 * (size_t)groups || (sign != NUMERIC_POSITIVE && sign != NUMERIC_NEGATIVE))
        return false;
    uint128 value = 0;
    s += NUMERIC_HEADER;
    for (int i = 0; i < groups; i++, power -= GROUP) {
        int group = get2(s + 2 * i);
        if (group >= GROUP_BASE || !append_group(&value, group, power))
            return false;
    }
    power += GROUP; /* of the last group; those after it are zero and not sent */
    if (value && power > 0 && (power > MAX_PRECISION || !append(&value, power, 0)))
        return false;
    store(value, sign == NUMERIC_NEGATIVE, out);
    return value < POWERS[precision];
}
