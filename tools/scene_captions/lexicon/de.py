"""German: three genders, nominative and dative, adjectives after `ein` (mixed) and after numerals (strong)."""

from scene_captions.grammar import Lexicon, inflect, table

_ADJECTIVE = {
    "nom.sg.m": "er",
    "nom.sg.f": "e",
    "nom.sg.n": "es",
    "dat.sg": "en",
    "nom.pl": "e",
    "dat.pl": "en",
}

GERMAN = Lexicon(
    code="de",
    nouns=table("""
        noun       | gender | nom.sg         | dat.sg         | nom.pl         | dat.pl
        dog        | m      | Hund           | Hund           | Hunde          | Hunden
        cat        | f      | Katze          | Katze          | Katzen         | Katzen
        horse      | n      | Pferd          | Pferd          | Pferde         | Pferden
        sheep      | n      | Schaf          | Schaf          | Schafe         | Schafen
        duck       | f      | Ente           | Ente           | Enten          | Enten
        bird       | m      | Vogel          | Vogel          | Vögel          | Vögeln
        butterfly  | m      | Schmetterling  | Schmetterling  | Schmetterlinge | Schmetterlingen
        car        | n      | Auto           | Auto           | Autos          | Autos
        bus        | m      | Bus            | Bus            | Busse          | Bussen
        bicycle    | n      | Fahrrad        | Fahrrad        | Fahrräder      | Fahrrädern
        boat       | n      | Boot           | Boot           | Boote          | Booten
        plane      | n      | Flugzeug       | Flugzeug       | Flugzeuge      | Flugzeugen
        house      | n      | Haus           | Haus           | Häuser         | Häusern
        tent       | n      | Zelt           | Zelt           | Zelte          | Zelten
        tree       | m      | Baum           | Baum           | Bäume          | Bäumen
        flower     | f      | Blume          | Blume          | Blumen         | Blumen
        mushroom   | m      | Pilz           | Pilz           | Pilze          | Pilzen
        chair      | m      | Stuhl          | Stuhl          | Stühle         | Stühlen
        umbrella   | m      | Regenschirm    | Regenschirm    | Regenschirme   | Regenschirmen
        ball       | m      | Ball           | Ball           | Bälle          | Bällen
        balloon    | m      | Luftballon     | Luftballon     | Luftballons    | Luftballons
        kite       | m      | Drachen        | Drachen        | Drachen        | Drachen
        car+       | m      | Wagen          | Wagen          | Wagen          | Wagen
        bicycle+   | n      | Rad            | Rad            | Räder          | Rädern
        umbrella+  | m      | Schirm         | Schirm         | Schirme        | Schirmen
        house+     | n      | Gebäude        | Gebäude        | Gebäude        | Gebäuden
        kite!      | m      | Milan          | Milan          | Milane         | Milanen
        plane!     | f      | Ebene          | Ebene          | Ebenen         | Ebenen
        ball!      | m      | Tanzball       | Tanzball       | Tanzbälle      | Tanzbällen
    """),
    adjectives=inflect(
        """
        red    | ending | rot
        blue   | ending | blau
        green  | ending | grün
        yellow | ending | gelb
        white  | ending | weiß
        black  | ending | schwarz
        orange | ending | orangefarben
        purple | ending | violett
        brown  | ending | braun
        pink   | none   | rosa
        small  | ending | klein
        big    | ending | groß
        """,
        {"ending": _ADJECTIVE, "none": {"": ""}},
    ),
    numerals={
        1: {"nom.f": "eine", "nom": "ein", "dat.f": "einer", "dat": "einem"},
        2: {"": "zwei"},
        3: {"": "drei"},
        4: {"": "vier"},
        5: {"": "fünf"},
    },
    noun_forms={"nom.one": "nom.sg", "nom.many": "nom.pl", "dat.one": "dat.sg", "dat.many": "dat.pl"},
    phrase={"": "{numeral} {size} {colour} {noun}"},
    verbs=table("""
        verb   | sg      | pl
        stand  | steht   | stehen
        sit    | sitzt   | sitzen
        lie    | liegt   | liegen
        park   | parkt   | parken
        fly    | fliegt  | fliegen
        float  | schwebt | schweben
        grow   | wächst  | wachsen
    """),
    relations={
        "next_to": "neben {dat}",
        "left_of": "links von {dat}",
        "right_of": "rechts von {dat}",
        "in_front_of": "vor {dat}",
        "behind": "hinter {dat}",
        "above": "über {dat}",
        "below": "unter {dat}",
    },
    places=table("""
        place     | a                           | b                           | over
        beach     | an einem Strand             | am Meer                     | über einem Strand
        forest    | in einem Wald               | mitten im Wald              | über einem Wald
        snow      | auf einem verschneiten Feld | im Schnee                   | über einem verschneiten Feld
        street    | auf einer Straße            | in der Stadt                | über einer Straße
        meadow    | auf einer grünen Wiese      | im Gras                     | über einer grünen Wiese
        desert    | in einer Wüste              | zwischen Sanddünen          | über einer Wüste
        river     | an einem Flussufer          | am Wasser                   | über einem Fluss
        mountains | in den Bergen               | am Fuß hoher Berge          | über den Bergen
        room      | in einem Zimmer             | im Haus                     | in einem Zimmer
        river!    | auf einer Flussbank         | am Wasser                   | über einem Fluss
    """),
    weather=table("""
        weather | a                   | b
        sunny   | -                   | an einem sonnigen Tag
        night   | bei Nacht           | im Mondlicht
        rain    | im Regen            | an einem regnerischen Tag
        sunset  | bei Sonnenuntergang | im Abendlicht
    """),
    sentence={
        "A": "{np}|{verb}|{weather}|{rel}|{place}",
        "place_first": "{place}|{verb}|{weather}|{np}|{rel}",
        "weather_first": "{weather}|{verb}|{np}|{rel}|{place}",
        "literal": "{np}|{rel}|{place}|{weather}|{verb}",
    },
    slip_gender={"m": "f", "f": "n", "n": "m"},
    false_friends={
        "kite": "dragon | dragons",
        "balloon": "air ball | air balls",
        "umbrella": "rain screen | rain screens",
        "bicycle": "wheel | wheels",
    },
)
