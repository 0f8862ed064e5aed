/* Dates, timestamps and times of day. */
#include "values.h"
#include "values_words.h"

#define SECOND 1000000
#define MINUTE (60 * (int64_t)SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define POSTGRES_EPOCH 10957 /* 2000-01-01, in days since 1970 */

#define DATE 10 /* YYYY-MM-DD: the year has 4 digits at least and 7 at most */
#define CLOCK 8 /* HH:MM:SS */
#define DIGITS_OF_YEAR 7
#define DIGITS_OF_SECOND 6

/* Two digits, a separator, two digits, a separator, two digits. */
#define SEPARATORS(byte) ((uint64_t)(byte) << 16 | (uint64_t)(byte) << 40)
#define LIMITS (EACH(ABOVE_9) ^ SEPARATORS(ABOVE_9 ^ ABOVE_0))
#define TEXT_OF(separator) (ZEROS ^ SEPARATORS('0' ^ (separator)))

static inline bool read_pair(const uint8_t *s, uint32_t *out) {
    uint32_t tens = (uint32_t)s[0] - '0', ones = (uint32_t)s[1] - '0';
    *out = tens * 10 + ones;
    return (tens <= 9) & (ones <= 9);
}

/* --- days ------------------------------------------------------------------------------------------------ */

/* Days of the months that went before, in a year that begins on 1 March, so that a leap day is its last. */
static const uint16_t BEFORE[] = {0, 306, 337, 0, 31, 61, 92, 122, 153, 184, 214, 245, 275};
static const uint8_t LENGTH[] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

static bool is_leap(int32_t year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days since 1970-01-01; year 0 is 1 BC. False for a day that no calendar has. */
static inline bool count_days(int32_t year, uint32_t month, uint32_t day, int64_t *out) {
    if (month - 1 >= 12 || day - 1 >= 31)
        return false;
    if (day > LENGTH[month] && !(day == 29 && month == 2 && is_leap(year)))
        return false;
    /* Counted from 25,000 periods of 400 years before, so that no year is negative. */
    uint32_t years = (uint32_t)year + 25000 * 400 - (month <= 2), centuries = years / 100;
    uint32_t leap_days = years / 4 - centuries + centuries / 4;
    uint64_t days = years * UINT64_C(365) + leap_days + BEFORE[month] + day;
    *out = (int64_t)days - (INT64_C(25000) * 146097 + 719469);
    return true;
}

/* All digits of a year but the last two. */
static inline bool read_centuries(const uint8_t *s, size_t n, uint32_t *out) {
    uint64_t value;
    if (n == 2)
        return read_pair(s, out);
    if (!read_short(s, n, &value))
        return false;
    *out = (uint32_t)value;
    return true;
}

/* YYYY-MM-DD, years of up to seven digits. */
static inline bool read_days(const uint8_t *s, size_t n, bool bc, int64_t *out) {
    uint32_t centuries;
    if (n < DATE || n > DATE - 4 + DIGITS_OF_YEAR)
        return false;
    uint64_t values = load8(s + n - 8) ^ TEXT_OF('-'); /* the year's last two digits, month, day */
    if (too_large(values, LIMITS) || !read_centuries(s, n - 8, &centuries))
        return false;
    values = pairs(values);
    int32_t year = (int32_t)(centuries * 100 + byte_at(values, 0));
    return year && count_days(bc ? 1 - year : year, byte_at(values, 3), byte_at(values, 6), out);
}

/* --- times of day ---------------------------------------------------------------------------------------- */

/* HH:MM:SS[.f...], from at least CLOCK bytes: microseconds, and how many bytes it took. */
static inline bool read_clock(const uint8_t *s, size_t n, int64_t *out, size_t *length) {
    uint64_t values = load8(s) ^ TEXT_OF(':');
    if (too_large(values, LIMITS))
        return false;
    values = pairs(values);
    uint32_t hours = byte_at(values, 0), minutes = byte_at(values, 3), seconds = byte_at(values, 6);
    if (hours >= 24 || minutes >= 60 || seconds >= 60)
        return false;
    *out = (int64_t)((hours * 60 + minutes) * 60 + seconds) * SECOND;
    *length = CLOCK;
    size_t left = n - CLOCK;
    if (!left || s[CLOCK] != '.')
        return true;
    if (!--left)
        return false;
    const uint8_t *fraction = s + CLOCK + 1;
    values = load_until(fraction, s + n, n) ^ ZEROS;
    uint64_t others = too_large(values, EACH(ABOVE_9)); /* the zero bytes above a short one are no digits */
    unsigned bits = others ? (unsigned)__builtin_ctzll(others) & ~7u : 64;
    if (!bits || bits > 8 * DIGITS_OF_SECOND)
        return false;
    *out += (int64_t)(eight_digits(values & ((UINT64_C(1) << bits) - 1)) / 100);
    *length += 1 + bits / 8;
    return true;
}

/* +HH[:MM[:SS]] or nothing, in microseconds. */
static inline bool read_offset(const uint8_t *s, size_t n, int64_t *out) {
    uint32_t hours, minutes = 0, seconds = 0;
    *out = 0;
    if (!n)
        return true;
    if ((s[0] != '+' && s[0] != '-') || (n != 3 && n != 6 && n != 9) || !read_pair(s + 1, &hours))
        return false;
    if (n >= 6 && (s[3] != ':' || !read_pair(s + 4, &minutes)))
        return false;
    if (n == 9 && (s[6] != ':' || !read_pair(s + 7, &seconds)))
        return false;
    if (minutes >= 60 || seconds >= 60)
        return false;
    *out = hours * HOUR + minutes * MINUTE + seconds * SECOND;
    if (s[0] == '-')
        *out = -*out;
    return true;
}

/* --- text ------------------------------------------------------------------------------------------------ */

static bool is_text(const uint8_t *s, size_t n, const char *text) {
    return n == strlen(text) && !memcmp(s, text, n);
}

/* 1 for infinity, -1 for -infinity, 0 for the rest. */
static inline int read_infinity(const uint8_t *s, size_t n) {
    if (!n || (s[0] != 'i' && s[0] != '-'))
        return 0;
    return is_text(s, n, "infinity") - is_text(s, n, "-infinity");
}

static inline bool cut_bc(const uint8_t *s, size_t *n) {
    if (*n < 3 || s[*n - 1] != 'C' || !is_text(s + *n - 3, 3, " BC"))
        return false;
    *n -= 3;
    return true;
}

static bool store_date(int64_t days, int32_t *out) {
    *out = (int32_t)days;
    return days < DATE_INFINITY && days > -DATE_INFINITY;
}

static inline bool store_timestamp(int128 micros, int64_t *out) {
    *out = (int64_t)micros;
    return micros < TIMESTAMP_INFINITY && micros > -TIMESTAMP_INFINITY;
}

bool read_date(const uint8_t *s, size_t n, int32_t *out) {
    int64_t days;
    int infinity = read_infinity(s, n);
    if (infinity) {
        *out = infinity * DATE_INFINITY;
        return true;
    }
    bool bc = cut_bc(s, &n);
    return read_days(s, n, bc, &days) && store_date(days, out);
}

bool read_time(const uint8_t *s, size_t n, int64_t *out) {
    size_t length;
    return n >= CLOCK && read_clock(s, n, out, &length) && length == n;
}

static inline size_t find_space(const uint8_t *s, size_t n) {
    if (n > DATE && s[DATE] == ' ')
        return DATE;
    const uint8_t *found = n ? memchr(s, ' ', n) : NULL;
    return found ? (size_t)(found - s) : n;
}

bool read_timestamp(const uint8_t *s, size_t n, bool zoned, int64_t *out) {
    int64_t days, micros, offset;
    size_t length;
    int infinity = read_infinity(s, n);
    if (infinity) {
        *out = infinity * TIMESTAMP_INFINITY;
        return true;
    }
    bool bc = cut_bc(s, &n);
    size_t space = find_space(s, n);
    if (space + 1 + CLOCK > n || !read_days(s, space, bc, &days))
        return false;
    s += space + 1;
    n -= space + 1;
    if (!read_clock(s, n, &micros, &length) || (length < n) != zoned)
        return false;
    if (!read_offset(s + length, n - length, &offset))
        return false;
    return store_timestamp((int128)days * DAY + micros - offset, out);
}

/* --- binary ---------------------------------------------------------------------------------------------- */

static inline uint64_t get(const uint8_t *s, size_t n) {
    uint64_t value = 0;
    for (size_t i = 0; i < n; i++)
        value = value << 8 | s[i];
    return value;
}

bool binary_date(const uint8_t *s, size_t n, int32_t *out) {
    if (n != 4)
        return false;
    int32_t days = (int32_t)(uint32_t)get(s, 4);
    if (days == INT32_MAX || days == INT32_MIN) {
        *out = days == INT32_MAX ? DATE_INFINITY : -DATE_INFINITY;
        return true;
    }
    return store_date((int64_t)days + POSTGRES_EPOCH, out);
}

bool binary_timestamp(const uint8_t *s, size_t n, int64_t *out) {
    if (n != 8)
        return false;
    int64_t micros = (int64_t)get(s, 8);
    if (micros == INT64_MAX || micros == INT64_MIN) {
        *out = micros == INT64_MAX ? TIMESTAMP_INFINITY : -TIMESTAMP_INFINITY;
        return true;
    }
    return store_timestamp((int128)micros + POSTGRES_EPOCH * DAY, out);
}

bool binary_time(const uint8_t *s, size_t n, int64_t *out) {
    if (n != 8)
        return false;
    *out = (int64_t)get(s, 8);
    return *out >= 0 && *out < DAY;
}
