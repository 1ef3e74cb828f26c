import pytest

from evaluation.words import Analyzer, RememberingAnalyzer, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Navy-Blue Men's T-Shirt, 100% cotton", ["navy", "blue", "men's", "tshirt", "100", "cotton"]),
        ("Ｗomen’s ＣＡＰ", ["women's", "cap"]),  # full-width letters, curly apostrophe
        ("红色连衣裙", ["红", "色", "连", "衣", "裙", "红色", "色连", "连衣", "衣裙"]),
        ("红 dress", ["红", "dress"]),
        ("Nike跑鞋xl", ["nike", "跑", "鞋", "跑鞋", "xl"]),
        ("été ночь", ["été", "ночь"]),
        ("लाल साड़ी", ["लाल", "साड़ी"]),  # Hindi: vowels are marks
        ("شَال أحمر", ["شَال", "أحمر"]),  # Arabic with a short vowel
        ("กางเกง", ["ก", "า", "ง", "เ", "ก", "ง", "กา", "าง", "งเ", "เก", "กง"]),  # Thai: no spaces
        ("เสื้อ", ["เ", "สื้", "อ", "เสื้", "สื้อ"]),  # two marks on one letter
        ("ស", ["ស"]),
        ("カ・メ", ["カ", "メ"]),  # a middle dot divides
        ("1\ufe0f\u20e3 x\ufe0f", ["1", "x"]),  # a keycap's marks are none of its digit
        ("rock'n'roll men's 5'4", ["rock'n", "roll", "men's", "5", "4"]),
        ("", []),
        ("!!! 🙂 _", []),
    ],
)
def test_splitting(text, words):
    assert split_words(text) == words


def test_english_is_stemmed_and_chinese_left_alone():
    stem = Analyzer()
    assert stem(["Women's dresses", "watches 手表"]) == [["women", "dress"], ["watch", "手", "表", "手表"]]
    assert Analyzer("")(["dresses"]) == [["dresses"]]


def test_singular_and_plural_meet():
    singular, plural = Analyzer()(["men casual shoe", "mens casual shoes"])
    assert singular == plural


def test_a_remembered_text_has_the_same_words():
    texts = ["Red dresses", "红色连衣裙", "Red dresses", "T-shirts"]
    remembering = RememberingAnalyzer()
    assert remembering(texts) == remembering(iter(texts)) == Analyzer()(texts)
    assert remembering([]) == []
