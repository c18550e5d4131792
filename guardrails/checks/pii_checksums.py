"""Checksums of the numbers that belong to one person or account; each function takes letters and digits only."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, of payment cards."""
    total = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit)
        if at % 2:
            value = value * 2 - 9 * (value > 4)
        total += value
    return total % 10 == 0


def iban(text: str) -> bool:
    """ISO 13616: the first four characters at the end, letters as numbers, modulo 97."""
    moved = text[4:] + text[:4]
    return int("".join(str(int(each, 36)) for each in moved)) % 97 == 1


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of each digit times its weight."""
    return sum(int(digit) * weight for digit, weight in zip(digits, weights, strict=False))


def spanish(text: str) -> bool:
    """DNI and NIE: a letter that follows from the number modulo 23."""
    number = str("XYZ".find(text[0])) + text[1:-1] if text[0] in "XYZ" else text[:-1]
    return "TRWAGMYFPDXBNJZSQVHLCKE"[int(number) % 23] == text[-1]


_ODD = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)


def italian(text: str) -> bool:
    """Codice fiscale: a letter from the fifteen characters before it."""
    total = 0
    for at, each in enumerate(text[:15]):
        value = int(each) if each.isdigit() else ord(each) - 65
        total += value if at % 2 else _ODD[value]
    return chr(65 + total % 26) == text[15]


def french(text: str) -> bool:
    """NIR: 97 minus the number modulo 97; Corsica counts as 19 and 18."""
    number = text[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and 97 - int(number) % 97 == int(text[13:])


def belgian(digits: str) -> bool:
    """97 minus the number modulo 97, with a 2 before it for those who were born from 2000 on."""
    check = int(digits[9:])
    return any(97 - int(born + digits[:9]) % 97 == check for born in ("", "2")) and _dated(digits[:6])


def polish(digits: str) -> bool:
    """PESEL: weights 1, 3, 7, 9; the century is in the month."""
    month = int(digits[2:4]) % 20
    check = -weighted(digits[:10], (1, 3, 7, 9, 1, 3, 7, 9, 1, 3)) % 10
    return 1 <= month <= 12 and 1 <= int(digits[4:6]) <= 31 and check == int(digits[10])


def brazilian(digits: str) -> bool:
    """CPF: two check digits modulo 11."""
    sums = [weighted(digits[:size], range(size + 1, 1, -1)) * 10 % 11 % 10 for size in (9, 10)]
    return len(set(digits)) > 1 and sums == [int(digits[9]), int(digits[10])]


def dutch(digits: str) -> bool:
    """BSN: the sum with weights 9 to 2 and -1 is a multiple of 11."""
    return digits != "000000000" and weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def british_health(digits: str) -> bool:
    """NHS number: weights 10 to 2, modulo 11."""
    return (11 - weighted(digits[:9], range(10, 1, -1)) % 11) % 11 == int(digits[9])


def chinese(text: str) -> bool:
    """Resident identity card, GB 11643-1999."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return "10X98765432"[weighted(text[:17], weights) % 11] == text[17] and _dated(text[8:14])


def singaporean(text: str) -> bool:
    """NRIC and FIN: a letter from the weighted digits, by the first letter."""
    total = weighted(text[1:8], (2, 7, 6, 5, 4, 3, 2)) + {"T": 4, "G": 4, "M": 3}.get(text[0], 0)
    letters = {"S": "JZIHGFEDCBA", "T": "JZIHGFEDCBA", "M": "XWUTRQPNJLK"}.get(text[0], "XWUTRQPNMLK")
    found = letters[10 - total % 11] if text[0] == "M" else letters[total % 11]
    return found == text[8]


def finnish(text: str) -> bool:
    """HETU: day, month, year, a mark for the century, a number, and a character modulo 31."""
    number = int(text[:6] + text[7:10])
    return "0123456789ABCDEFHJKLMNPRSTUVWXY"[number % 31] == text[10] and 1 <= int(text[2:4]) <= 12


def swedish(digits: str) -> bool:
    """Personnummer: a date and Luhn's digit."""
    return luhn(digits[-10:]) and _dated(digits[-10:-4])


_DIHEDRAL = tuple(
    tuple(
        (a + b) % 5 if a < 5 and b < 5 else 5 + (a + b) % 5 if a < 5 else 5 + (a - b) % 5 if b < 5 else (a - b) % 5
        for b in range(10)
    )
    for a in range(10)
)
_TURN = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def indian(digits: str) -> bool:
    """Aadhaar: Verhoeff's scheme, over the symmetries of a pentagon."""
    check = 0
    for at, digit in enumerate(reversed(digits)):
        value = int(digit)
        for _ in range(at % 8):
            value = _TURN[value]
        check = _DIHEDRAL[check][value]
    return check == 0 and digits[0] not in "01"


def turkish(digits: str) -> bool:
    """T.C. kimlik: two check digits."""
    values = [int(each) for each in digits]
    tenth = (7 * sum(values[0:9:2]) - sum(values[1:8:2])) % 10
    return values[0] != 0 and tenth == values[9] and sum(values[:10]) % 10 == values[10]


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58_address(text: str) -> bool:
    """A Bitcoin address: 25 bytes, the last four of them a double SHA-256 of the rest."""
    number = 0
    for each in text:
        number = number * 58 + _BASE58.index(each)
    try:
        data = number.to_bytes(25, "big")
    except OverflowError:
        return False
    return hashlib.sha256(hashlib.sha256(data[:-4]).digest()).digest()[:4] == data[-4:]


def bech32_address(text: str) -> bool:
    """A Bitcoin address of the form bc1…, BIP 173 and BIP 350."""
    letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
    values = [3, 3, 0, 2, 3, *(letters.index(each) for each in text.lower()[3:])]
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for at, generator in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            check ^= generator if top >> at & 1 else 0
    return check in (1, 0x2BC830A3)


def _dated(digits: str) -> bool:
    """Whether six digits are the year, month and day of some century."""
    year, month, day = int(digits[:2]), int(digits[2:4]), int(digits[4:6])
    try:
        date(2000 + year, month, day)
    except ValueError:
        return False
    return True
