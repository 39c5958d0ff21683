"""Numbers: every spelling is one number, check digits of our own reckoning, and what an ID number says of its holder."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts import identities, numbers
from core import crypto
from core.errors import Refusal
from tests.world import ID_NUMBER, OTHER_ID_NUMBER, USCC

MOBILE = "13800138000"
FULL_WIDTH = str.maketrans("0123456789X", "０１２３４５６７８９Ｘ")
FULL_WIDTH_LOWER = str.maketrans("0123456789x", "０１２３４５６７８９ｘ")


def with_check_digit(first_17: str) -> str:
    """An ID number with the check digit of GB 11643, computed by its own text and not by the library under test."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return first_17 + "10X98765432"[sum(int(d) * w for d, w in zip(first_17, weights, strict=True)) % 11]


ENDS_WITH_X = next(n for n in (with_check_digit(f"110101190001{i:05}"[:17]) for i in range(2900, 3100)) if n[-1] == "X")

# Numbers


@pytest.mark.parametrize(
    ("method", "typed", "normal"),
    [
        ("id_number", ID_NUMBER, ID_NUMBER),
        ("id_number", f"  {ID_NUMBER} \n", ID_NUMBER),
        ("id_number", f"{ID_NUMBER[:6]} {ID_NUMBER[6:14]} {ID_NUMBER[14:]}", ID_NUMBER),
        ("id_number", f"{ID_NUMBER[:6]}-{ID_NUMBER[6:]}", ID_NUMBER),
        ("id_number", ID_NUMBER.translate(FULL_WIDTH), ID_NUMBER),
        ("id_number", f"{ID_NUMBER[:9]}\u3000{ID_NUMBER[9:]}", ID_NUMBER),
        ("id_number", ENDS_WITH_X.lower(), ENDS_WITH_X),
        ("id_number", ENDS_WITH_X.translate(FULL_WIDTH), ENDS_WITH_X),
        ("uscc", USCC.lower(), USCC),
        ("uscc", f" {USCC[:8]}-{USCC[8:]}", USCC),
        ("mobile", MOBILE, MOBILE),
        ("mobile", "138 0013 8000", MOBILE),
        ("mobile", "+86 138-0013-8000", MOBILE),
        ("mobile", "008613800138000", MOBILE),
        ("mobile", "8613800138000", MOBILE),
        ("mobile", "＋８６１３８００１３８０００", MOBILE),
    ],
)
def test_every_spelling_of_a_number_is_one_number(method, typed, normal):
    assert identities.normalise_number(method, typed) == normal


@pytest.mark.parametrize(
    ("method", "typed"),
    [
        ("id_number", ID_NUMBER[:-1] + str((int(ID_NUMBER[-1]) + 1) % 10)),  # wrong check digit
        ("id_number", ID_NUMBER[:16] + ID_NUMBER[17] + ID_NUMBER[16]),  # two digits swapped
        ("id_number", "110101900231982"),  # 15 digits with 31 February
        ("id_number", "999999900102982"),  # 15 digits of a county that is in no list
        ("id_number", "11010190010298"),  # 14 digits
        ("id_number", with_check_digit("99999919000102982")),  # a county that is in no list
        ("id_number", with_check_digit("11010119000230982")),  # 30 February
        ("id_number", with_check_digit("11010100000102982")),  # year 0
        ("id_number", "X" * 18),
        ("id_number", ID_NUMBER + "0"),
        ("id_number", ""),
        ("id_number", "١١٠١٠١١٩٠٠٠١٠٢٩٨٢٣"),  # digits of another script
        ("id_number", "110101190001029八23"),
        ("id_number", "\x00" * 18),
        ("uscc", USCC[:-1] + "A"),
        ("uscc", USCC[:-1]),
        ("uscc", "91O10105MA01XXXXXX"),  # the letter O is never used
        ("mobile", "12800138000"),
        ("mobile", "1380013800"),
        ("mobile", "+852 5123 4567"),
        ("mobile", "86"),
        ("password", "1"),
    ],
)
def test_a_number_that_cannot_be_right_is_refused_with_422(method, typed):
    with pytest.raises(Refusal) as refused:
        identities.normalise_number(method, typed)
    assert (refused.value.status, refused.value.code) == (422, "fields_invalid")
    assert refused.value.errors[0]["field"] in ("number", "method")


@given(method=st.sampled_from(["id_number", "uscc", "mobile"]), typed=st.text(max_size=24))
def test_whatever_is_typed_is_a_number_or_a_refusal_and_never_anything_else(method, typed):
    try:
        normal = identities.normalise_number(method, typed)
    except Refusal as refusal:
        assert refusal.status == 422
    else:
        assert identities.normalise_number(method, normal) == normal


@given(first=st.from_regex(r"[1-9][0-9]{16}", fullmatch=True))
def test_whatever_county_and_date_a_number_holds_it_is_taken_or_refused(first):
    try:
        assert len(identities.normalise_number("id_number", with_check_digit(first))) == 18
    except Refusal as refusal:
        assert refusal.errors[0]["code"] == "check_digit"


VECTORS = Path(__file__).resolve().parents[3] / "shared" / "data" / "id_number_vectors" / "vectors.jsonl"


@pytest.mark.skipif(not VECTORS.exists(), reason=f"no number vectors at {VECTORS.name} beside this checkout")
def test_published_vectors_are_judged_as_their_publishers_judge_them():
    judged = 0
    for line in VECTORS.read_text(encoding="utf-8").splitlines():
        vector = json.loads(line)
        mobile = vector["kind"] == "phone" and vector.get("region") == "CN" and vector.get("phone_type") == "MOBILE"
        method = {"resident_id": "id_number", "uscc": "uscc"}.get(vector["kind"]) or ("mobile" if mobile else None)
        if method is None:
            continue
        typed = vector["value"].removeprefix("tel:")
        try:
            identities.normalise_number(method, typed)
            taken = True
        except Refusal:
            taken = False
        assert taken == vector["valid"], vector["id"]
        judged += 1
    assert judged > 150


# Thirty spellings of one number each, as people, forms, scanners and spreadsheets write them (security.md §4).
WRITTEN = (
    "{}", " {}", "{} ", "\t{}\n", "\ufeff{}", "\u200b{}", "{}\u200d", "\u00a0{}\u3000", "{}\r\n", "\u2066{}\u2069",
)  # fmt: skip
SEPARATORS = (" ", "-", "\u2010", "\u2011", "\u2013", "\u2014", "\u2212", "\uff0d", "\u3000", "\u00ad", "\u2009", "  ")


def spellings_of(number):
    yield from (shape.format(number) for shape in WRITTEN)
    yield from (f"{number[:6]}{between}{number[6:14]}{between}{number[14:]}" for between in SEPARATORS)
    yield from (number.lower(), number.translate(FULL_WIDTH), number.lower().translate(FULL_WIDTH_LOWER))
    yield "".join(chr(0x1D7CE + int(c)) if c.isdigit() else c for c in number)  # mathematical digits
    yield "".join(chr(0x2460 + int(c) - 1) if c in "123456789" else c for c in number)  # circled digits
    for x in ("×", "Х", "х", "Χ", "Ⅹ"):
        yield number.replace("X", x)


@pytest.mark.parametrize("number", [ENDS_WITH_X, ID_NUMBER, OTHER_ID_NUMBER])
def test_thirty_spellings_have_one_digest(number):
    typed = set(spellings_of(number))
    assert len(typed) >= (30 if number.endswith("X") else 24)
    digests = {crypto.digest(numbers.normalise("id_number", one), "identity.id_number") for one in typed}
    assert digests == {crypto.digest(number, "identity.id_number")}


@pytest.mark.parametrize(
    "typed",
    ["13800138000", "+8613800138000", "008613800138000", "8613800138000", "tel:+86-138-0013-8000", "(+86) 138 0013 8000",
     "138.0013.8000", "+86 (138) 0013-8000", "TEL:13800138000", "１３８００１３８０００", "138\u200b00138000"],
)  # fmt: skip
def test_a_mobile_number_has_one_spelling(typed):
    assert numbers.normalise("mobile", typed) == MOBILE


@given(
    county=st.sampled_from(["110101", "310101", "360120", "440106"]),
    born=st.dates(date(1950, 1, 1), date(1999, 12, 31)),
    order=st.integers(0, 999),
)
def test_a_number_of_15_digits_and_its_18_are_one_number(county, born, order):
    short = f"{county}{born:%y%m%d}{order:03}"
    long = with_check_digit(f"{county}{born:%Y%m%d}{order:03}")
    try:
        normal = numbers.normalise("id_number", long)
    except Refusal:  # the county was not there yet, or no more
        with pytest.raises(Refusal):
            numbers.normalise("id_number", short)
    else:
        assert numbers.normalise("id_number", short) == normal == long
        assert numbers.birth_of("id_number", normal) == born


@pytest.mark.parametrize(
    ("number", "right"),
    [
        ("91990000TUYAN0007P", True),
        ("91990000TUYAN00070", False),
        ("91990000TUYAN0070P", False),  # two swapped
        ("9199000OTUYAN0007P", False),  # a letter in the region
        ("91990000TUYANI007P", False),  # I, O, S, V, Z are never used
        ("91990000TUYAN0007", False),
        ("91990000TUYAN0007PP", False),
    ],
)
def test_credit_codes_of_our_own(number, right):
    if right:
        assert numbers.normalise("uscc", number) == number
    else:
        with pytest.raises(Refusal):
            numbers.normalise("uscc", number)


NEW_PERMIT = with_check_digit("91112419000103002")


@pytest.mark.parametrize(
    ("kind", "typed", "normal"),
    [
        ("passport", "e12345678", "E12345678"),
        ("passport", " G 1234-5678 ", "G12345678"),
        ("passport", "123456", "123456"),
        ("passport", "12345", None),
        ("passport", "1234567890123", None),
        ("passport", "E1234567甲", None),
        ("mainland_travel_permit", "h12345678", "H12345678"),
        ("mainland_travel_permit", "M1234567890", "M1234567890"),
        ("mainland_travel_permit", "H123456789", None),
        ("mainland_travel_permit", "A12345678", None),
        ("taiwan_permit", "０1234567", "01234567"),
        ("taiwan_permit", "1234567", None),
        ("residence_permit", "can11009001010", None),  # 14 long
        ("residence_permit", "can110090010101", "CAN110090010101"),
        ("residence_permit", NEW_PERMIT.lower(), NEW_PERMIT),
        ("residence_permit", NEW_PERMIT[:-1] + ("0" if NEW_PERMIT[-1] != "0" else "1"), None),
        ("residence_permit", with_check_digit("91112419000230002"), None),  # 30 February
        ("library_card", "1234567", None),
        ("", "1234567", None),
    ],
)
def test_foreign_documents_have_the_form_that_is_printed_on_them(kind, typed, normal):
    if normal is None:
        with pytest.raises(Refusal) as refused:
            numbers.normalise("document", typed, kind)
        assert refused.value.errors[0]["field"] in ("number", "document_kind")
    else:
        assert numbers.normalise("document", typed, kind) == normal
        assert numbers.normalise("document", normal, kind) == normal


def test_documents_of_two_kinds_with_one_number_are_two_identities():
    assert numbers.for_digest("document", "12345678", "passport") != numbers.for_digest(
        "document", "12345678", "taiwan_permit"
    )


def test_what_a_number_says_of_its_holder():
    assert numbers.birth_of("id_number", ID_NUMBER) == date(1900, 1, 2)
    assert numbers.birth_of("document", NEW_PERMIT, "residence_permit") == date(1900, 1, 3)
    assert numbers.birth_of("document", "E12345678", "passport") is None
    assert numbers.birth_of("mobile", MOBILE) is None
    assert (numbers.province_of(ID_NUMBER), numbers.province_of(OTHER_ID_NUMBER)) == ("北京市", "上海市")
    assert numbers.province_of("99" + ID_NUMBER[2:]) == ""


def test_somebody_is_a_year_older_on_their_birthday_in_shanghai(monkeypatch):
    today = numbers.datetime.now(numbers.SHANGHAI).date()
    ten_years_ago = date(today.year - 10, today.month, min(today.day, 28))
    assert numbers.age(ten_years_ago) == 10
    assert numbers.age(today + timedelta(days=1)) == -1


@pytest.mark.parametrize(
    ("number", "masked"),
    [(ID_NUMBER, "110*************23"), (MOBILE, "138******00"), ("E12345678", "E*******8"), ("123456", "1****6")],
)
def test_masks_keep_five_characters_of_a_long_number_and_two_of_a_short_one(number, masked):
    assert identities.masked_number(number) == masked
