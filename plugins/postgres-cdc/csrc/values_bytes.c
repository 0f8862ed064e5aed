/* Bool, uuid, bytea and UTF-8. */
#include "values.h"
#include "values_words.h"

#define UUID 36

bool read_bool(const uint8_t *s, size_t n, bool *out) {
    *out = n == 1 && s[0] == 't';
    return n == 1 && (s[0] == 't' || s[0] == 'f');
}

/* --- hexadecimal ------------------------------------------------------------------------------------------ */

/* The high bits of the bytes within first..last. No byte may have its own high bit set. */
static inline uint64_t within(uint64_t word, unsigned first, unsigned last) {
    return (word + EACH(0x80 - first)) & ~(word + EACH(0x7f - last)) & HIGH_BITS;
}

/* The four bytes of eight hexadecimal digits, as the low half. */
static inline bool read_hex8(uint64_t word, uint8_t out[4]) {
    uint64_t letters = within(word | EACH(0x20), 'a', 'f');
    bool valid = !(word & HIGH_BITS) && (within(word, '0', '9') | letters) == HIGH_BITS;
    uint64_t nibbles = (word & EACH(0x0f)) + (letters >> 7) * 9;
    uint64_t bytes = (nibbles << 4 | nibbles >> 8) & 0x00ff00ff00ff00ff;
    bytes = (bytes | bytes >> 8) & 0x0000ffff0000ffff;
    bytes |= bytes >> 16;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    bytes = __builtin_bswap32((uint32_t)bytes);
#endif
    uint32_t four = (uint32_t)bytes;
    memcpy(out, &four, sizeof four);
    return valid;
}

static inline uint64_t around_dash(const uint8_t *s) {
    return load4(s) | (uint64_t)load4(s + 5) << 32;
}

bool read_uuid(const uint8_t *s, size_t n, uint8_t out[16]) {
    if (n != UUID || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-')
        return false;
    bool first = read_hex8(load8(s), out), second = read_hex8(around_dash(s + 9), out + 4);
    bool third = read_hex8(around_dash(s + 19), out + 8), fourth = read_hex8(load8(s + 28), out + 12);
    return first & second & third & fourth;
}

bool read_hex(const uint8_t *s, size_t n, uint8_t *out) {
    uint8_t last[4];
    if (n < 2 || n % 2 || s[0] != '\\' || s[1] != 'x')
        return false;
    for (s += 2, n -= 2; n >= 8; s += 8, n -= 8, out += 4)
        if (!read_hex8(load8(s), out))
            return false;
    if (!n)
        return true;
    if (!read_hex8(load_short(s, n) | ZEROS << 8 * n, last))
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
