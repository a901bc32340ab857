# SPDX-License-Identifier: GPL-3.0-or-later
# For tests/reader.py: errors, sealing (section 2 of doc/FORMAT), and volume.json with its keys (section 9).

import base64
import functools
import hashlib
import hmac
import json
import re
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class Damage(Exception):
    """Malformed or not authentic."""


class NoKey(Exception):
    """None of the keys at hand fits."""


def require(condition, text):
    if not condition:
        raise Damage(text)


def require_zero(data, what):
    require(not any(data), f"{what}: a field that must be zero is not")


# ---- keys and sealing

def kdf(ikm, use, context, n):
    return HKDF(SHA384(), n, None, b"cloison 1 " + use + b"\0" + context).derive(ikm)


@functools.lru_cache(maxsize=2048)
def xaes(key, epoch):
    """AES-256-GCM under the XAES key that belongs to the first half of a nonce."""
    half = []
    for number in (1, 2):
        mac = CMAC(AES(key))
        mac.update(bytes([0, number, 0x58, 0]) + epoch)
        half.append(mac.finalize())
    return AESGCM(half[0] + half[1])


def hmac384(key, message):
    return hmac.digest(key, message, "sha384")


def unseal(key, aad, sealed, what):
    try:
        return AESGCM(key).decrypt(sealed[:12], sealed[12:], aad)
    except InvalidTag:
        raise Damage(f"{what} does not authenticate") from None


# ---- section 9: volume.json

def unique_members(pairs):
    require(len(dict(pairs)) == len(pairs), "a member occurs twice")
    return dict(pairs)


def members(value, names, optional=()):
    require(isinstance(value, dict), "not an object")
    require(set(names) <= set(value) <= set(names) | set(optional), f"members are not {', '.join(names)}")
    return value


def as_hex(value, n=16):
    require(isinstance(value, str) and re.fullmatch(f"[0-9a-f]{{{2 * n}}}", value), f"not {n} bytes in hex")
    return bytes.fromhex(value)


def as_base64(value, low, high=None):
    require(isinstance(value, str) and value.isascii(), "not base64")
    try:
        data = base64.b64decode(value, validate=True)
    except ValueError:
        raise Damage("not base64") from None
    require(base64.b64encode(data).decode() == value, "base64 is not canonical")
    require(low <= len(data) <= (high or low), "base64 of a wrong length")
    return data


def as_int(value, low, high):
    require(type(value) is int and low <= value <= high, f"not an integer from {low} to {high}")
    return value


def as_text(data, what):
    """UTF-8 without control characters, from its bytes."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Damage(f"{what} is not UTF-8") from None
    require(not re.search("[\x00-\x1f\x7f-\x9f]", text), f"{what} has a control character")
    return text


def as_list(value, low, high, convert, ident):
    require(isinstance(value, list) and low <= len(value) <= high, f"not an array of {low} to {high}")
    out = [convert(element) for element in value]
    ids = [element[ident] for element in out]
    require(all(a < b for a, b in zip(ids, ids[1:])), "array is not in strictly ascending order")
    return out


def parse_compartment(value):
    members(value, ("id", "label", "mac"))
    return {"id": as_hex(value["id"]), "label": as_base64(value["label"], 3072), "mac": as_base64(value["mac"], 48)}


def parse_lock(value, tpm):
    members(value, ("compartment", "hint", "lowest", "wrapped") + (("unlock", "public", "private") if tpm else ()))
    lock = {"id": as_hex(value["compartment"]), "wrapped": as_base64(value["wrapped"], 60),
            "hint": as_base64(value["hint"], 16), "lowest": as_base64(value["lowest"], 16)}
    if tpm:
        require(value["unlock"] in ("host", "pin"), "unlock is neither host nor pin")
        lock.update(unlock=value["unlock"].encode(), public=as_base64(value["public"], 1, 512),
                    private=as_base64(value["private"], 1, 512))
    return lock


def parse_slot(value):
    require(isinstance(value, dict) and value.get("type") in ("passphrase", "tpm2"), "type of a slot is not known")
    tpm = value["type"] == "tpm2"
    members(value, ("id", "type", "kdf", "locks") + (("srk", "locator") if tpm else ("check",)))
    k = members(value["kdf"], ("name", "salt", "log2n", "r", "p"))
    require(k["name"] == "scrypt", "kdf is not scrypt")
    slot = {"id": as_hex(value["id"]), "type": value["type"].encode(), "salt": as_base64(k["salt"], 32),
            "log2n": as_int(k["log2n"], 10, 20), "r": as_int(k["r"], 1, 16), "p": as_int(k["p"], 1, 16)}
    memory = slot["r"] << slot["log2n"]
    require(memory <= 2**23 and slot["p"] * memory <= 2**25, "kdf costs too much")
    if tpm:
        srk, locator = members(value["srk"], ("name", "public")), members(value["locator"], ("public", "private"))
        slot["way"] = [as_base64(v, 1, 512)
                       for v in (srk["name"], srk["public"], locator["public"], locator["private"])]
    else:
        slot["check"] = as_base64(value["check"], 16)
        slot["way"] = [slot["check"]]
    slot["locks"] = as_list(value["locks"], 1, 64, lambda lock: parse_lock(lock, tpm), "id")
    return slot


def parse_volume(data):
    require(len(data) <= 1048576, "too long")
    try:
        top = json.loads(data.decode(), object_pairs_hook=unique_members)
    except (ValueError, RecursionError) as error:
        raise Damage(f"not JSON: {error}") from None
    head = members(top, ("cloison", "compartments", "slots"))["cloison"]
    members(head, ("format", "uuid"), ("name",))
    require(as_int(head["format"], 1, 2**32 - 1) == 1, f"format {head['format']} is newer than this reader")
    volume = {"uuid": as_hex(head["uuid"]), "name": b""}
    if "name" in head:
        require(isinstance(head["name"], str), "name is not a string")
        volume["name"] = head["name"].encode("utf-8", "surrogatepass")
        as_text(volume["name"], "name")
        require(1 <= len(volume["name"]) <= 255, "name is not 1 to 255 bytes")
    volume["compartments"] = {c["id"]: c for c in as_list(top["compartments"], 1, 64, parse_compartment, "id")}
    volume["slots"] = as_list(top["slots"], 1, 32, parse_slot, "id")
    for slot in volume["slots"]:
        require(all(lock["id"] in volume["compartments"] for lock in slot["locks"]), "lock of an unknown compartment")
    return volume


def compartment_mac(volume, cid, lk):
    def u32(n):
        return struct.pack("<I", n)

    def f(*items):
        return b"".join(u32(len(item)) + item for item in items)

    ways = [(slot, lock) for slot in volume["slots"] for lock in slot["locks"] if lock["id"] == cid]
    m = f(b"cloison 1 volume") + u32(1) + f(volume["uuid"], volume["name"], cid, volume["compartments"][cid]["label"])
    m += u32(len(ways))
    for slot, lock in ways:
        m += f(slot["id"], slot["type"], b"scrypt", slot["salt"]) + u32(slot["log2n"]) + u32(slot["r"]) + u32(slot["p"])
        m += f(*slot["way"], lock["hint"], lock["lowest"])
        if "unlock" in lock:
            m += f(lock["unlock"], lock["public"], lock["private"])
        m += f(lock["wrapped"])
    return hmac384(kdf(lk, b"volume-mac", cid, 48), m)


def open_label(volume, cid, lk):
    """MAC, then label record: {rank, text, dir, below}."""
    entry = volume["compartments"].get(cid)
    require(entry, f"compartment {cid.hex()} is not listed")
    require(hmac.compare_digest(compartment_mac(volume, cid, lk), entry["mac"]), f"MAC of {cid.hex()} is wrong")
    record = unseal(kdf(lk, b"label-name", cid, 32), b"cloison 1 label\0" + volume["uuid"] + cid, entry["label"],
                    f"label record of {cid.hex()}")
    rank, text_len, dir_len, count = struct.unpack_from("<4H", record)
    require(1 <= text_len <= 1024 and dir_len <= 255 and count <= 63, "label record: a length is out of range")
    require((dir_len == 0) == (rank == 0), "label record: dir without rank or rank without dir")
    text, folder, ids = record[8:8 + text_len], record[1032:1032 + dir_len], record[1288:1288 + 16 * count]
    require_zero(record[8 + text_len:1032] + record[1032 + dir_len:1288] + record[1288 + 16 * count:], "label record")
    as_text(text, "label text")
    require("/" not in as_text(folder, "label dir") and folder not in (b".", b".."), "label dir is no file name")
    below = [ids[i:i + 16] for i in range(0, len(ids), 16)]
    require(len(set(below)) == count and cid not in below and all(b in volume["compartments"] for b in below),
            "label record: compartments below are wrong")
    return {"rank": rank, "text": text, "dir": folder, "below": below}


def unlock_passphrase(volume, passphrase):
    """{compartment: LK} of every lock of the passphrase slots that this passphrase fits."""
    keys, hints = {}, []
    for slot in volume["slots"]:
        if slot["type"] != b"passphrase":
            continue
        p = hashlib.scrypt(passphrase, salt=slot["salt"], n=1 << slot["log2n"], r=slot["r"], p=slot["p"],
                           maxmem=2**31 - 1, dklen=32)
        context = volume["uuid"] + slot["id"]
        if not hmac.compare_digest(kdf(p, b"check", context, 16), slot["check"]):
            continue
        for lock in slot["locks"]:
            cid = lock["id"]
            lk = unseal(kdf(p, b"passphrase-kek", context + cid, 32), b"cloison 1 lock\0" + context + cid,
                        lock["wrapped"], f"lock of {cid.hex()}")
            require(keys.setdefault(cid, lk) == lk, f"slots disagree about the key of {cid.hex()}")
            hints.append((cid, lock, kdf(p, b"hint", context, 48), kdf(p, b"lowest", context, 48)))
    if not keys:
        raise NoKey("the passphrase fits no slot")
    return keys, hints


def open_volume(data, passphrase, given):
    """(volume, keys, labels) from the text of a header, all of it authenticated as far as the keys reach."""
    volume = parse_volume(data)
    keys, hints = unlock_passphrase(volume, passphrase) if passphrase is not None else ({}, [])
    for cid, lk in given.items():
        require(keys.setdefault(cid, lk) == lk, f"slots and --label-key disagree about the key of {cid.hex()}")
    labels = {cid: open_label(volume, cid, lk) for cid, lk in keys.items()}
    for cid, lock, hint_key, lowest_key in hints:
        require(hmac384(hint_key, cid + labels[cid]["text"])[:16] == lock["hint"], f"hint of {cid.hex()} is wrong")
        require((hmac384(lowest_key, cid)[:16] == lock["lowest"]) == (labels[cid]["rank"] == 0),
                f"lowest of {cid.hex()} is wrong")
    ranks = {cid: label["rank"] for cid, label in labels.items()}
    require(len(set(ranks.values())) == len(ranks), "two labels have the same rank")
    for cid, label in labels.items():
        known = [ranks[b] for b in label["below"] if b in ranks]
        require(known == sorted(known) and all(r < label["rank"] for r in known), "compartments below are out of order")
    return volume, keys, labels
