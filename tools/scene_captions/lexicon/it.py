"""Italian: two genders, colours behind the noun, participles that agree, elision of `una`."""

from scene_captions.grammar import Lexicon, inflect, table

_PARADIGMS = {
    "o/a": {"sg.m": "o", "sg.f": "a", "pl.m": "i", "pl.f": "e"},
    "white": {"sg.m": "o", "sg.f": "a", "pl.m": "hi", "pl.f": "he"},
    "e/i": {"sg": "e", "pl": "i"},
    "none": {"": ""},
}

ITALIAN = Lexicon(
    code="it",
    nouns=table("""
        noun       | gender | sg         | pl
        dog        | m      | cane       | cani
        cat        | m      | gatto      | gatti
        horse      | m      | cavallo    | cavalli
        sheep      | f      | pecora     | pecore
        duck       | f      | anatra     | anatre
        bird       | m      | uccello    | uccelli
        butterfly  | f      | farfalla   | farfalle
        car        | f      | auto       | auto
        bus        | m      | autobus    | autobus
        bicycle    | f      | bicicletta | biciclette
        boat       | f      | barca      | barche
        plane      | m      | aereo      | aerei
        house      | f      | casa       | case
        tent       | f      | tenda      | tende
        tree       | m      | albero     | alberi
        flower     | m      | fiore      | fiori
        mushroom   | m      | fungo      | funghi
        chair      | f      | sedia      | sedie
        umbrella   | m      | ombrello   | ombrelli
        ball       | m      | pallone    | palloni
        balloon    | m      | palloncino | palloncini
        kite       | m      | aquilone   | aquiloni
        car+       | f      | macchina   | macchine
        bicycle+   | f      | bici       | bici
        plane+     | m      | aeroplano  | aeroplani
        kite!      | m      | nibbio     | nibbi
        plane!     | m      | piano      | piani
        ball!      | m      | ballo      | balli
    """),
    adjectives=inflect(
        """
        red    | o/a   | ross
        blue   | none  | blu
        green  | e/i   | verd
        yellow | o/a   | giall
        white  | white | bianc
        black  | o/a   | ner
        orange | e/i   | arancion
        purple | none  | viola
        brown  | e/i   | marron
        pink   | none  | rosa
        small  | o/a   | piccol
        big    | e/i   | grand
        """,
        _PARADIGMS,
    ),
    numerals={1: {"nom.f": "una", "": "un"}, 2: {"": "due"}, 3: {"": "tre"}, 4: {"": "quattro"}, 5: {"": "cinque"}},
    noun_forms={"nom.one": "sg", "nom.many": "pl"},
    phrase={"": "{numeral} {size} {noun} {colour}", "literal": "{numeral} {size} {colour} {noun}"},
    verbs=table("""
        verb   | sg.m            | sg.f            | pl.m              | pl.f
        stand  | si trova        | si trova        | si trovano        | si trovano
        sit    | è seduto        | è seduta        | sono seduti       | sono sedute
        lie    | è adagiato      | è adagiata      | sono adagiati     | sono adagiate
        park   | è parcheggiato  | è parcheggiata  | sono parcheggiati | sono parcheggiate
        fly    | vola            | vola            | volano            | volano
        float  | fluttua         | fluttua         | fluttuano         | fluttuano
        grow   | cresce          | cresce          | crescono          | crescono
    """)
    | {"exist": {"sg": "c'è", "pl": "ci sono"}},
    relations={
        "next_to": "accanto a {nom}",
        "left_of": "a sinistra di {nom}",
        "right_of": "a destra di {nom}",
        "in_front_of": "davanti a {nom}",
        "behind": "dietro {nom}",
        "above": "sopra {nom}",
        "below": "sotto {nom}",
    },
    places=table("""
        place     | a                          | b                              | over
        beach     | su una spiaggia            | in riva al mare                | sopra una spiaggia
        forest    | in un bosco                | in mezzo agli alberi del bosco | sopra un bosco
        snow      | in un campo innevato       | sulla neve                     | sopra un campo innevato
        street    | in una strada              | in città                       | sopra una strada
        meadow    | su un prato verde          | sull'erba                      | sopra un prato verde
        desert    | in un deserto              | tra le dune di sabbia          | sopra un deserto
        river     | sulla riva di un fiume     | vicino all'acqua               | sopra un fiume
        mountains | in montagna                | sullo sfondo di alte montagne  | sopra le montagne
        room      | in una stanza              | in casa                        | in una stanza
        river!    | su una banca di fiume      | vicino all'acqua               | sopra un fiume
    """),
    weather=table("""
        weather | a               | b
        sunny   | -               | in una giornata di sole
        night   | di notte        | al chiaro di luna
        rain    | sotto la pioggia | in una giornata piovosa
        sunset  | al tramonto     | nella luce della sera
    """),
    sentence={
        "A": "{np}|{verb}|{rel}|{place}|{weather}",
        "place_first": "{place}|{there}|{np}|{rel}|{weather}",
        "weather_first": "{weather}|{there}|{np}|{rel}|{place}",
    },
    sandhi=((r"\buna (?=[aeiou])", "un'"),),
    slip_gender={"m": "f", "f": "m"},
    false_friends={
        "kite": "north wind | north winds",
        "tent": "curtain | curtains",
        "umbrella": "shade | shades",
        "house": "home | homes",
        "mushroom": "fungus | fungi",
    },
)
