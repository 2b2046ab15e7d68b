"""Japanese: counters, particles, the verb at the end; phrasing B counts behind the noun (`赤い車が二台`)."""

from scene_captions.grammar import Lexicon, invariable, numerals, table

JAPANESE = Lexicon(
    code="jp",
    nouns=table("""
        noun       | nom        | counter
        dog        | 犬         | 匹
        cat        | 猫         | 匹
        horse      | 馬         | 頭
        sheep      | 羊         | 匹
        duck       | アヒル     | 羽
        bird       | 鳥         | 羽
        butterfly  | 蝶         | 匹
        car        | 車         | 台
        bus        | バス       | 台
        bicycle    | 自転車     | 台
        boat       | ボート     | 艘
        plane      | 飛行機     | 機
        house      | 家         | 軒
        tent       | テント     | 張り
        tree       | 木         | 本
        flower     | 花         | 輪
        mushroom   | キノコ     | 本
        chair      | 椅子       | 脚
        umbrella   | 傘         | 本
        ball       | ボール     | 個
        balloon    | 風船       | 個
        kite       | 凧         | 枚
        car+       | 自動車     | 台
        boat+      | 小舟       | 艘
        house+     | 一戸建て   | 軒
        kite!      | トビ       | 羽
        plane!     | 平面       | 個
        ball!      | 舞踏会     | 個
    """),
    adjectives=invariable(
        red="赤い",
        blue="青い",
        green="緑色の",
        yellow="黄色い",
        white="白い",
        black="黒い",
        orange="オレンジ色の",
        purple="紫色の",
        brown="茶色い",
        pink="ピンク色の",
        small="小さな",
        big="大きな",
    ),
    numerals=numerals("一 二 三 四 五"),
    phrase={"": "{numeral}{counter}の{size}{colour}{noun}", "alt": "{size}{colour}{noun}が{numeral}{counter}"},
    verbs=table("""
        verb   | particle | sg
        stand  | に       | 立っている
        sit    | に       | 座っている
        lie    | に       | 置かれている
        park   | に       | 停まっている
        fly    | を       | 飛んでいる
        float  | に       | 浮かんでいる
        grow   | に       | 生えている
        bloom  | に       | 咲いている
        built  | に       | 建っている
        pitch  | に       | 張られている
        roll   | に       | 転がっている
        soar   | に       | 揚がっている
    """),
    verb_of={
        "bicycle": "park",
        "flower": "bloom",
        "house": "built",
        "tent": "pitch",
        "chair": "lie",
        "ball": "roll",
        "kite": "soar",
    },
    verb_number={"one": "sg", "many": "sg"},
    relations={
        "next_to": "{nom}の隣",
        "left_of": "{nom}の左側",
        "right_of": "{nom}の右側",
        "in_front_of": "{nom}の前",
        "behind": "{nom}の後ろ",
        "above": "{nom}の上",
        "below": "{nom}の下",
    },
    places=table("""
        place     | a              | b                    | over
        beach     | 砂浜         | 海辺               | 砂浜の上空
        forest    | 森の中       | 木立の中           | 森の上空
        snow      | 雪原         | 雪の中             | 雪原の上空
        street    | 通り         | 街中               | 通りの上空
        meadow    | 緑の草原     | 草の上             | 緑の草原の上空
        desert    | 砂漠         | 砂丘の間           | 砂漠の上空
        river     | 川岸         | 水辺               | 川の上空
        mountains | 山の中       | 高い山々のふもと   | 山々の上空
        room      | 部屋の中     | 家の中             | 部屋の中
        river!    | 川の銀行     | 水辺               | 川の上空
    """),
    weather=table("""
        weather | a          | b
        sunny   | -          | 晴れた日に
        night   | 夜         | 月明かりの下で
        rain    | 雨の中     | 雨の日に
        sunset  | 夕暮れ時に | 夕日の中で
    """),
    sentence={
        "A": "{weather}、|{np}が|{place}|の{rel}|{particle}|{verb}",
        "place_first": "{place}|の{rel}|{particle}、|{weather}|{alt}|{verb}",
        "weather_first": "{weather}、|{alt}、|{place}|の{rel}|{particle}|{verb}",
        "literal": "{np}が|{verb}、|{rel}{particle}、|{place}で|、{weather}",
    },
    sandhi=(("、の", "、"),),  # no place before the relation: nothing for の to join
    joiner="",
    stop="。",
    slip_counter="つ",
    false_friends={
        "kite": "octopus | octopuses",
        "balloon": "wind ship | wind ships",
        "butterfly": "bow tie | bow ties",
        "flower": "nose | noses",
        "umbrella": "shade | shades",
    },
)
