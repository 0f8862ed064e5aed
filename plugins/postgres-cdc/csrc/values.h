/* Values of PostgreSQL, in text and in binary, as the numbers and bytes that Arrow holds.
 *
 * Pure functions: no Python, no allocation, no state. Each reads exactly the n bytes at s, which need no NUL
 * after them, and returns true with the value in *out. False is "the Arrow type cannot hold it exactly, or it
 * is nothing that PostgreSQL prints"; *out may then hold anything.
 *
 * The text is that of a session with DateStyle ISO, bytea_output hex and extra_float_digits at least 1. The
 * values are those of the converters in etl_pglib, which are slower and rule in doubt.
 */
#ifndef ETL_POSTGRES_CDC_VALUES_H
#define ETL_POSTGRES_CDC_VALUES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Infinity of dates and timestamps: the largest number and its negative, which is not the smallest. */
#define DATE_INFINITY INT32_MAX
#define TIMESTAMP_INFINITY INT64_MAX

/* --- text ------------------------------------------------------------------------------------------------ */

/* `t` or `f`. */
bool read_bool(const uint8_t *s, size_t n, bool *out);

/* A decimal integer within low..high (both included). */
bool read_int(const uint8_t *s, size_t n, int64_t low, int64_t high, int64_t *out);

/* A float, NaN, Infinity or -Infinity, rounded once, to nearest even. What is beyond the largest float is
 * false, what is below the smallest is zero. More than 19 significant digits are
 * false too; PostgreSQL prints 17 at most. */
bool read_float64(const uint8_t *s, size_t n, double *out);
bool read_float32(const uint8_t *s, size_t n, float *out);

/* A numeric as a decimal128: the unscaled value, 16 bytes, little-endian, two's complement. precision <= 38,
 * 0 <= scale <= precision. Digits beyond the scale must be zero. */
bool read_decimal(const uint8_t *s, size_t n, int precision, int scale, uint8_t out[16]);

/* Days since 1970-01-01 in the proleptic Gregorian calendar. */
bool read_date(const uint8_t *s, size_t n, int32_t *out);

/* Microseconds since 1970-01-01 (in UTC if zoned). The text of a zoned one has an offset, others have none.
 * A finite timestamp at or above infinity is false. */
bool read_timestamp(const uint8_t *s, size_t n, bool zoned, int64_t *out);

/* Microseconds since midnight; 24:00:00 is false. */
bool read_time(const uint8_t *s, size_t n, int64_t *out);

/* 16 bytes of 8-4-4-4-12 hexadecimal digits. */
bool read_uuid(const uint8_t *s, size_t n, uint8_t out[16]);

/* The bytes of a bytea `\x...`: writes (n - 2) / 2 bytes, for which there must be room. */
bool read_hex(const uint8_t *s, size_t n, uint8_t *out);

/* Whether this is UTF-8, by the rules of Python: no surrogates, nothing overlong, nothing above U+10FFFF. */
bool valid_utf8(const uint8_t *s, size_t n);

/* --- COPY ... (FORMAT binary): what the type's send function writes, big-endian ---------------------------- */

/* numeric_send as the decimal128 of read_decimal; NaN and infinity are false. */
bool binary_decimal(const uint8_t *s, size_t n, int precision, int scale, uint8_t out[16]);

/* date_send (4 bytes), timestamp_send and timestamptz_send (8), time_send (8): the values of read_date,
 * read_timestamp and read_time. */
bool binary_date(const uint8_t *s, size_t n, int32_t *out);
bool binary_timestamp(const uint8_t *s, size_t n, int64_t *out);
bool binary_time(const uint8_t *s, size_t n, int64_t *out);

#endif
