/* Bool, uuid, bytea and UTF-8. */
#include "values.h"
#include "values_words.h"

#define UUID 36

bool read_bool(const uint8_t *s, size_t n, bool *out) {
    *out = n == 1 && s[0] == 't';
    return n == 1 && (s[0] == 't' || s[0] == 'f');
}

/* --- hexadecimal ------------------------------------------------------------------------------------------ */

/* Sixteen characters at once, with whatever vectors the machine has. */
typedef uint8_t Chars __attribute__((vector_size(16)));
typedef uint8_t Bytes __attribute__((vector_size(8)));
typedef uint16_t Units __attribute__((vector_size(16)));
typedef uint64_t Words __attribute__((vector_size(16)));

/* The 8 bytes of 16 hexadecimal digits. */
static inline bool read_hex16(uint64_t first, uint64_t second, uint8_t out[8]) {
    Chars chars = (Chars)(Words){first, second};
    Chars letters = (Chars)((uint8_t)'a' <= (chars | 0x20)) & (Chars)((chars | 0x20) <= (uint8_t)'f');
    Chars digits = (Chars)((uint8_t)'0' <= chars) & (Chars)(chars <= (uint8_t)'9');
    Units nibbles = (Units)((chars & 0x0f) + (letters & 9));
    Bytes bytes = __builtin_convertvector((nibbles << 4 | nibbles >> 8) & 0xff, Bytes);
    memcpy(out, &bytes, sizeof bytes);
    Words valid = (Words)(letters | digits);
    return !~(valid[0] & valid[1]);
}

static inline uint64_t around_dash(const uint8_t *s) {
    return load4(s) | (uint64_t)load4(s + 5) << 32;
}

bool read_uuid(const uint8_t *s, size_t n, uint8_t out[16]) {
    if (n != UUID || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-')
        return false;
    bool first = read_hex16(load8(s), around_dash(s + 9), out);
    return read_hex16(around_dash(s + 19), load8(s + 28), out + 8) && first;
}

/* 1..8 characters, then zeros up to 8. */
static inline uint64_t load_filled(const uint8_t *s, size_t n) {
    return load_short(s, n) | (n < 8 ? ZEROS << 8 * n : 0);
}

bool read_hex(const uint8_t *s, size_t n, uint8_t *out) {
    uint8_t last[8];
    if (n < 2 || n % 2 || s[0] != '\\' || s[1] != 'x')
        return false;
    for (s += 2, n -= 2; n >= 16; s += 16, n -= 16, out += 8)
        if (!read_hex16(load8(s), load8(s + 8), out))
            return false;
    if (!n)
        return true;
    uint64_t second = n > 8 ? load_filled(s + 8, n - 8) : ZEROS;
    if (!read_hex16(load_filled(s, n < 8 ? n : 8), second, last))
        return false;
    memcpy(out, last, n / 2);
    return true;
}

/* --- UTF-8 ------------------------------------------------------------------------------------------------ */

static inline const uint8_t *skip_ascii(const uint8_t *s, const uint8_t *end) {
    for (; end - s >= 32; s += 32)
        if ((load8(s) | load8(s + 8) | load8(s + 16) | load8(s + 24)) & HIGH_BITS)
            break;
    for (; end - s >= 8; s += 8)
        if (load8(s) & HIGH_BITS)
            break;
    return s;
}

/* Whether the last n bytes are ASCII, of which only fewer than 8 are left to look at. */
static inline bool ends_in_ascii(const uint8_t *s, size_t n, size_t left) {
    if (!left)
        return true;
    return !((n >= 8 ? load8(s + n - 8) : load_short(s, n)) & HIGH_BITS);
}

static inline bool is_between(uint8_t byte, uint8_t first, uint8_t last) {
    return (uint8_t)(byte - first) <= last - first;
}

static inline bool continues(uint8_t byte) {
    return (byte & 0xc0) == 0x80;
}

/* How many bytes the character at s takes, one that is not ASCII; 0 if it is none. The second byte's range is
 * what keeps out the overlong, the surrogates and what is above U+10FFFF. */
static inline size_t character(const uint8_t *s, size_t n) {
    uint8_t lead = s[0];
    if (lead < 0xe0)
        return lead >= 0xc2 && n >= 2 && continues(s[1]) ? 2 : 0;
    if (lead < 0xf0) {
        bool second = n >= 3 && is_between(s[1], lead == 0xe0 ? 0xa0 : 0x80, lead == 0xed ? 0x9f : 0xbf);
        return second && continues(s[2]) ? 3 : 0;
    }
    bool second = n >= 4 && is_between(s[1], lead == 0xf0 ? 0x90 : 0x80, lead == 0xf4 ? 0x8f : 0xbf);
    return lead <= 0xf4 && second && continues(s[2]) && continues(s[3]) ? 4 : 0;
}

static bool valid_mixed(const uint8_t *s, const uint8_t *end) {
    while (s < end) {
        if (*s < 0x80) {
            s = end - s >= 8 && !(load8(s) & HIGH_BITS) ? s + 8 : s + 1;
            continue;
        }
        size_t length = character(s, (size_t)(end - s));
        if (!length)
            return false;
        s += length;
    }
    return true;
}

bool valid_utf8(const uint8_t *s, size_t n) {
    if (!n)
        return true;
    const uint8_t *end = s + n, *rest = skip_ascii(s, end);
    size_t left = (size_t)(end - rest);
    return (left < 8 && ends_in_ascii(s, n, left)) || valid_mixed(rest, end);
}
