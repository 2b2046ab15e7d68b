"""Russian: three genders, numerals that govern: 2-4 a paucal (noun genitive singular), 5 the genitive plural."""

from scene_captions.grammar import inflect, table
from scene_captions.lexicon.slavic import slavic

# Masculine, feminine, neuter nominative; genitive f, m/n; instrumental f, m/n; plural nom, gen, ins.
# `few` is what follows 2-4 in the nominative: genitive plural, but nominative plural with feminine nouns.
_FORMS = (
    *("nom.sg.m", "nom.sg.f", "nom.sg.n", "gen.sg.f", "gen.sg", "ins.sg.f", "ins.sg"),
    *("nom.pl", "gen.pl", "ins.pl", "few.f", "few"),
)


def _paradigm(endings: str) -> dict[str, str]:
    return dict(zip(_FORMS, endings.split(), strict=True))


RUSSIAN = slavic(
    code="ru",
    nouns=table("""
        noun      | gender | nom.sg         | gen.sg           | ins.sg          | few             | nom.pl          | gen.pl           | ins.pl
        dog       | f | собака         | собаки           | собакой         | собаки          | собаки          | собак            | собаками
        cat       | f | кошка          | кошки            | кошкой          | кошки           | кошки           | кошек            | кошками
        horse     | f | лошадь         | лошади           | лошадью         | лошади          | лошади          | лошадей          | лошадьми
        sheep     | f | овца           | овцы             | овцой           | овцы            | овцы            | овец             | овцами
        duck      | f | утка           | утки             | уткой           | утки            | утки            | уток             | утками
        bird      | f | птица          | птицы            | птицей          | птицы           | птицы           | птиц             | птицами
        butterfly | f | бабочка        | бабочки          | бабочкой        | бабочки         | бабочки         | бабочек          | бабочками
        car       | f | машина         | машины           | машиной         | машины          | машины          | машин            | машинами
        bus       | m | автобус        | автобуса         | автобусом       | автобуса        | автобусы        | автобусов        | автобусами
        bicycle   | m | велосипед      | велосипеда       | велосипедом     | велосипеда      | велосипеды      | велосипедов      | велосипедами
        boat      | f | лодка          | лодки            | лодкой          | лодки           | лодки           | лодок            | лодками
        plane     | m | самолёт        | самолёта         | самолётом       | самолёта        | самолёты        | самолётов        | самолётами
        house     | m | дом            | дома             | домом           | дома            | дома            | домов            | домами
        tent      | f | палатка        | палатки          | палаткой        | палатки         | палатки         | палаток          | палатками
        tree      | n | дерево         | дерева           | деревом         | дерева          | деревья         | деревьев         | деревьями
        flower    | m | цветок         | цветка           | цветком         | цветка          | цветы           | цветов           | цветами
        mushroom  | m | гриб           | гриба            | грибом          | гриба           | грибы           | грибов           | грибами
        chair     | m | стул           | стула            | стулом          | стула           | стулья          | стульев          | стульями
        umbrella  | m | зонт           | зонта            | зонтом          | зонта           | зонты           | зонтов           | зонтами
        ball      | m | мяч            | мяча             | мячом           | мяча            | мячи            | мячей            | мячами
        balloon   | m | воздушный шар  | воздушного шара  | воздушным шаром | воздушных шара  | воздушные шары  | воздушных шаров  | воздушными шарами
        kite      | m | воздушный змей | воздушного змея  | воздушным змеем | воздушных змея  | воздушные змеи  | воздушных змеев  | воздушными змеями
        car+      | m | автомобиль     | автомобиля       | автомобилем     | автомобиля      | автомобили      | автомобилей      | автомобилями
        dog+      | m | пёс            | пса              | псом            | пса             | псы             | псов             | псами
        umbrella+ | m | зонтик         | зонтика          | зонтиком        | зонтика         | зонтики         | зонтиков         | зонтиками
        kite!     | m | коршун         | коршуна          | коршуном        | коршуна         | коршуны         | коршунов         | коршунами
        plane!    | f | плоскость      | плоскости        | плоскостью      | плоскости       | плоскости       | плоскостей       | плоскостями
        ball!     | m | бал            | бала             | балом           | бала            | балы            | балов            | балами
    """),  # noqa: E501
    adjectives=inflect(
        """
        red    | hard     | красн
        blue   | soft     | син
        green  | hard     | зелён
        yellow | hard     | жёлт
        white  | hard     | бел
        black  | hard     | чёрн
        orange | hard     | оранжев
        purple | hard     | фиолетов
        brown  | hard     | коричнев
        pink   | hard     | розов
        small  | velar    | маленьк
        big    | stressed | больш
        """,
        {
            "hard": _paradigm("ый ая ое ой ого ой ым ые ых ыми ые ых"),
            "soft": _paradigm("ий яя ее ей его ей им ие их ими ие их"),
            "velar": _paradigm("ий ая ое ой ого ой им ие их ими ие их"),
            "stressed": _paradigm("ой ая ое ой ого ой им ие их ими ие их"),
        },
    ),
    numerals={
        1: {"": ""},
        2: {"nom.f": "две", "nom": "два", "gen": "двух", "ins": "двумя"},
        3: {"nom": "три", "gen": "трёх", "ins": "тремя"},
        4: {"nom": "четыре", "gen": "четырёх", "ins": "четырьмя"},
        5: {"nom": "пять", "gen": "пяти", "ins": "пятью"},
    },
    noun_forms={"nom.few": "few"},
    verbs=table("""
        verb   | sg     | pl
        stand  | стоит  | стоят
        sit    | сидит  | сидят
        lie    | лежит  | лежат
        park   | стоит  | стоят
        fly    | летает | летают
        float  | парит  | парят
        grow   | растёт | растут
    """),
    relations={
        "next_to": "рядом с {ins}",
        "left_of": "слева от {gen}",
        "right_of": "справа от {gen}",
        "in_front_of": "перед {ins}",
        "behind": "за {ins}",
        "above": "над {ins}",
        "below": "под {ins}",
    },
    places=table("""
        place     | a                   | b                      | over
        beach     | на пляже            | у моря                 | над пляжем
        forest    | в лесу              | на лесной поляне       | над лесом
        snow      | на заснеженном поле | среди снегов           | над заснеженным полем
        street    | на городской улице  | в городе               | над городской улицей
        meadow    | на зелёном лугу     | на лужайке             | над зелёным лугом
        desert    | в пустыне           | среди песчаных дюн     | над пустыней
        river     | на берегу реки      | у воды                 | над рекой
        mountains | в горах             | у подножия высоких гор | над горами
        room      | в комнате           | в доме                 | в комнате
        river!    | на банке реки       | у воды                 | над рекой
    """),
    weather=table("""
        weather | a          | b
        sunny   | -          | в солнечный день
        night   | ночью      | при лунном свете
        rain    | под дождём | в дождливый день
        sunset  | на закате  | в лучах заката
    """),
    sandhi=((r"\bс (?=ст)", "со "),),
    slip_form={"few.few": "nom.pl"},
    false_friends={
        "kite": "air serpent | air serpents",
        "balloon": "air ball | air balls",
        "car": "machine | machines",
        "tent": "stall | stalls",
        "mushroom": "fungus | fungi",
    },
)
