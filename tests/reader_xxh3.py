# SPDX-License-Identifier: GPL-3.0-or-later
# XXH3-128 for tests/reader.py, from sections 17-128 and 241+ of its specification.

import struct

M32, M64 = 2**32 - 1, 2**64 - 1
P32_1, P32_2, P32_3 = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
P64_1, P64_2, P64_3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
P64_4, P64_5, P_MX1 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5, 0x165667919E3779F9
XXH_SECRET = bytes.fromhex(
    "b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671fcb79e64eccc0e578825ad07dccff7221"
    "b8084674f743248ee03590e6813a264c3c2852bb91c300cb88d0658b1b532ea371644897a20df94e3819ef46a9deacd8"
    "a8fa763fe39c343ff9dcbbc7c70b4f1d8a51e04bcdb45931c89f7ec9d9787364eac5ac8334d3ebc3c581a0fffa1363eb"
    "170ddd51b7f0da49d316552629d4689e2b16be587d47a1fc8ff8b8d17ad031ce45cb3a8f95160428afd7fbcabb4b407e")


def _words(data, offset, count):
    return struct.unpack_from(f"<{count}Q", data, offset)


def _fold(a, b):
    product = a * b
    return (product ^ (product >> 64)) & M64


def _avalanche(x):
    x &= M64
    x = ((x ^ (x >> 37)) * P_MX1) & M64
    return x ^ (x >> 32)


def xxh3_128(data):
    """Canonical form. Only the lengths that occur here: 17 to 128 (a journal header) and above 240 (records)."""
    n = len(data)
    if 17 <= n <= 128:
        acc = [n * P64_1, 0]
        for i in range((n - 1) >> 5, -1, -1):
            a, b = _words(data, i * 16, 2), _words(data, n - i * 16 - 16, 2)
            s = _words(XXH_SECRET, i * 32, 4)
            acc[0] = ((acc[0] + _fold(a[0] ^ s[0], a[1] ^ s[1])) & M64) ^ ((b[0] + b[1]) & M64)
            acc[1] = ((acc[1] + _fold(b[0] ^ s[2], b[1] ^ s[3])) & M64) ^ ((a[0] + a[1]) & M64)
        low = _avalanche(acc[0] + acc[1])
        high = -_avalanche(acc[0] * P64_1 + acc[1] * P64_4 + n * P64_2) & M64
        return struct.pack(">QQ", high, low)
    if n <= 240:
        raise ValueError("no input of this length occurs in the format")
    acc = [P32_3, P64_1, P64_2, P64_3, P64_4, P32_2, P64_5, P32_1]
    secrets = [_words(XXH_SECRET, 8 * i, 8) for i in range(16)]

    def accumulate(stripe, secret):
        for i in range(8):
            value = stripe[i] ^ secret[i]
            acc[i ^ 1] += stripe[i]
            acc[i] += (value & M32) * (value >> 32)

    full = (n - 1) // 1024
    for block in range(full):
        for i in range(16):
            accumulate(_words(data, block * 1024 + i * 64, 8), secrets[i])
        for i, word in enumerate(_words(XXH_SECRET, 128, 8)):
            value = acc[i] & M64
            acc[i] = ((value ^ (value >> 47) ^ word) * P32_1) & M64
    for i in range((n - full * 1024 - 1) // 64):
        accumulate(_words(data, full * 1024 + i * 64, 8), secrets[i])
    accumulate(_words(data, n - 64, 8), _words(XXH_SECRET, 192 - 71, 8))

    def merge(start, offset):
        s = _words(XXH_SECRET, offset, 8)
        return _avalanche(start + sum(_fold((acc[i] & M64) ^ s[i], (acc[i + 1] & M64) ^ s[i + 1])
                                      for i in range(0, 8, 2)))

    return struct.pack(">QQ", merge(~(n * P64_2) & M64, 192 - 75), merge(n * P64_1, 11))
