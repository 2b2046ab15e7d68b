"""Korean: counters behind the noun, subject particle by the final consonant, the verb at the end."""

import re

from scene_captions.grammar import Lexicon, invariable, numerals, table


def _subject_particle(match: re.Match[str]) -> str:
    """Return the syllable with 이 if it ends in a consonant (28 codes a vowel, the first without one), else with 가."""
    syllable = match[1]
    return syllable + ("이" if (ord(syllable) - 0xAC00) % 28 else "가")


KOREAN = Lexicon(
    code="ko",
    nouns=table("""
        noun       | nom       | counter
        dog        | 개        | 마리
        cat        | 고양이    | 마리
        horse      | 말        | 마리
        sheep      | 양        | 마리
        duck       | 오리      | 마리
        bird       | 새        | 마리
        butterfly  | 나비      | 마리
        car        | 자동차    | 대
        bus        | 버스      | 대
        bicycle    | 자전거    | 대
        boat       | 배        | 척
        plane      | 비행기    | 대
        house      | 집        | 채
        tent       | 텐트      | 동
        tree       | 나무      | 그루
        flower     | 꽃        | 송이
        mushroom   | 버섯      | 송이
        chair      | 의자      | 개
        umbrella   | 우산      | 개
        ball       | 공        | 개
        balloon    | 풍선      | 개
        kite       | 연        | 개
        dog+       | 강아지    | 마리
        house+     | 주택      | 채
        kite!      | 솔개      | 마리
        plane!     | 평면      | 개
        ball!      | 무도회    | 개
    """),
    adjectives=invariable(
        red="빨간",
        blue="파란",
        green="초록색",
        yellow="노란",
        white="하얀",
        black="검은",
        orange="주황색",
        purple="보라색",
        brown="갈색",
        pink="분홍색",
        small="작은",
        big="큰",
    ),
    numerals=numerals("한 두 세 네 다섯"),
    phrase={
        "": "{size} {colour} {noun} {numeral} {counter}",
        "alt": "{numeral} {counter}의 {size} {colour} {noun}",
    },
    verbs=table("""
        verb   | particle | sg
        stand  | 에       | 서 있다
        sit    | 에       | 앉아 있다
        lie    | 에       | 놓여 있다
        park   | 에       | 주차되어 있다
        fly    | 에서     | 날고 있다
        float  | 에       | 떠 있다
        grow   | 에서     | 자라고 있다
        bloom  | 에       | 피어 있다
        lean   | 에       | 세워져 있다
        pitch  | 에       | 쳐져 있다
    """),
    verb_of={"flower": "bloom", "bicycle": "lean", "tent": "pitch", "chair": "lie"},
    verb_number={"one": "sg", "many": "sg"},
    relations={
        "next_to": "{nom} 옆",
        "left_of": "{nom} 왼쪽",
        "right_of": "{nom} 오른쪽",
        "in_front_of": "{nom} 앞",
        "behind": "{nom} 뒤",
        "above": "{nom} 위",
        "below": "{nom} 아래",
    },
    places=table("""
        place     | a            | b             | over
        beach     | 해변         | 바닷가        | 해변 위
        forest    | 숲속         | 숲 한가운데   | 숲 위
        snow      | 눈 덮인 들판 | 눈밭          | 눈 덮인 들판 위
        street    | 거리         | 도시          | 거리 위
        meadow    | 푸른 초원    | 풀밭          | 푸른 초원 위
        desert    | 사막         | 모래 언덕 사이 | 사막 위
        river     | 강둑         | 물가          | 강 위
        mountains | 산속         | 높은 산기슭   | 산 위
        room      | 방 안        | 집 안         | 방 안
        river!    | 강 은행      | 물가          | 강 위
    """),
    weather=table("""
        weather | a         | b
        sunny   | -         | 화창한 날에
        night   | 밤에      | 달빛 아래
        rain    | 비 내리는 가운데 | 비 오는 날에
        sunset  | 해 질 녘에 | 노을 속에서
    """),
    sentence={
        "A": "{weather} |{place}{particle} |{np}(가) |{rel}{particle} |{verb}",
        "place_first": "{place}|의 {rel}|{particle} |{alt}(가) |{weather} |{verb}",
        "weather_first": "{weather}, |{place}{particle} |{alt}(가) |{rel}{particle} |{verb}",
        "literal": "{np}(가) |{verb} |{rel}{particle} |{place}{particle} |{weather}",
    },
    joiner="",
    sandhi=((r"(\w)\(가\)", _subject_particle),),
    slip_counter="개",
    false_friends={
        "kite": "lotus | lotuses",
        "boat": "pear | pears",
        "horse": "word | words",
        "ball": "zero | zeros",
        "duck": "duckbill | duckbills",
    },
)
