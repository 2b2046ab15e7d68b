"""Chinese: measure words, `两` for two of a thing, `的`; phrasing B as existential sentence (`海边停着一辆汽车`)."""

from scene_captions.grammar import Lexicon, invariable, numerals, table

CHINESE = Lexicon(
    code="zh",
    nouns=table("""
        noun       | nom      | counter
        dog        | 狗       | 只
        cat        | 猫       | 只
        horse      | 马       | 匹
        sheep      | 绵羊     | 只
        duck       | 鸭子     | 只
        bird       | 鸟       | 只
        butterfly  | 蝴蝶     | 只
        car        | 汽车     | 辆
        bus        | 公交车   | 辆
        bicycle    | 自行车   | 辆
        boat       | 船       | 条
        plane      | 飞机     | 架
        house      | 房子     | 栋
        tent       | 帐篷     | 顶
        tree       | 树       | 棵
        flower     | 花       | 朵
        mushroom   | 蘑菇     | 朵
        chair      | 椅子     | 把
        umbrella   | 雨伞     | 把
        ball       | 皮球     | 个
        balloon    | 气球     | 只
        kite       | 风筝     | 只
        car+       | 轿车     | 辆
        bicycle+   | 单车     | 辆
        bus+       | 巴士     | 辆
        cat+       | 猫咪     | 只
        kite!      | 鸢       | 只
        plane!     | 平面     | 个
        ball!      | 舞会     | 场
    """),
    adjectives=invariable(
        red="红色的",
        blue="蓝色的",
        green="绿色的",
        yellow="黄色的",
        white="白色的",
        black="黑色的",
        orange="橙色的",
        purple="紫色的",
        brown="棕色的",
        pink="粉色的",
        small="小",
        big="大",
    ),
    numerals=numerals("一 两 三 四 五"),
    phrase={"": "{numeral}{counter}{colour}{size}{noun}"},
    verbs=invariable(
        stand="站着",
        sit="坐着",
        lie="放着",
        park="停着",
        fly="飞着",
        float="飘着",
        grow="长着",
        bloom="开着",
        built="立着",
    ),
    verb_of={
        "bicycle": "park",
        "boat": "park",
        "chair": "lie",
        "flower": "bloom",
        "house": "built",
        "tent": "built",
        "tree": "grow",
        "kite": "float",
    },
    relations={
        "next_to": "{nom}旁边",
        "left_of": "{nom}左边",
        "right_of": "{nom}右边",
        "in_front_of": "{nom}前面",
        "behind": "{nom}后面",
        "above": "{nom}上方",
        "below": "{nom}下面",
    },
    places=table("""
        place     | a            | b          | over
        beach     | 沙滩上       | 海边       | 沙滩上空
        forest    | 森林里       | 树林中     | 森林上空
        snow      | 雪地上       | 冰天雪地里 | 雪地上空
        street    | 街道上       | 城市里     | 街道上空
        meadow    | 绿色的草地上 | 草坪上     | 绿色的草地上空
        desert    | 沙漠里       | 沙丘之间   | 沙漠上空
        river     | 河岸上       | 水边       | 河面上空
        mountains | 山里         | 高山脚下   | 群山上空
        room      | 房间里       | 屋子里     | 房间里
        river!    | 河的银行里   | 水边       | 河面上空
    """),
    weather=table("""
        weather | a        | b
        sunny   | -        | 晴天
        night   | 夜晚     | 月光下
        rain    | 雨中     | 雨天
        sunset  | 日落时分 | 夕阳下
    """),
    sentence={
        "A": "{weather}，|{np}在|{place}|的{rel}|{verb}",
        "place_first": "{weather}的|{place}|，{rel}|{verb}|{np}",
        "weather_first": "{weather}，|{place}有|{np}|在{rel}{verb}",
        "literal": "{np}{verb}|在{rel}|在{place}|，{weather}",
    },
    joiner="",
    stop="。",
    slip_counter="个",
    false_friends={
        "kite": "wind zither | wind zithers",
        "balloon": "gas ball | gas balls",
        "bus": "public car | public cars",
        "plane": "flying machine | flying machines",
        "bicycle": "self-walking car | self-walking cars",
    },
)
