"""Polish: three genders, six forms of each noun, numerals that govern: 2-4 the nominative, 5 the genitive plural."""

from scene_captions.grammar import inflect, table
from scene_captions.lexicon.slavic import slavic

_ADJECTIVE = {
    "nom.sg.m": "y",
    "nom.sg.f": "a",
    "nom.sg.n": "e",
    "gen.sg.f": "ej",
    "gen.sg": "ego",
    "ins.sg.f": "ą",
    "ins.sg": "ym",
    "nom.pl": "e",
    "gen.pl": "ych",
    "ins.pl": "ymi",
}
_VELAR = {form: "i" + ending.lstrip("y") if ending[0] in "ey" else ending for form, ending in _ADJECTIVE.items()}

POLISH = slavic(
    code="pl",
    nouns=table("""
        noun       | gender | nom.sg       | gen.sg       | ins.sg         | nom.pl       | gen.pl       | ins.pl
        dog        | m      | pies         | psa          | psem           | psy          | psów         | psami
        cat        | m      | kot          | kota         | kotem          | koty         | kotów        | kotami
        horse      | m      | koń          | konia        | koniem         | konie        | koni         | końmi
        sheep      | f      | owca         | owcy         | owcą           | owce         | owiec        | owcami
        duck       | f      | kaczka       | kaczki       | kaczką         | kaczki       | kaczek       | kaczkami
        bird       | m      | ptak         | ptaka        | ptakiem        | ptaki        | ptaków       | ptakami
        butterfly  | m      | motyl        | motyla       | motylem        | motyle       | motyli       | motylami
        car        | m      | samochód     | samochodu    | samochodem     | samochody    | samochodów   | samochodami
        bus        | m      | autobus      | autobusu     | autobusem      | autobusy     | autobusów    | autobusami
        bicycle    | m      | rower        | roweru       | rowerem        | rowery       | rowerów      | rowerami
        boat       | f      | łódka        | łódki        | łódką          | łódki        | łódek        | łódkami
        plane      | m      | samolot      | samolotu     | samolotem      | samoloty     | samolotów    | samolotami
        house      | m      | dom          | domu         | domem          | domy         | domów        | domami
        tent       | m      | namiot       | namiotu      | namiotem       | namioty      | namiotów     | namiotami
        tree       | n      | drzewo       | drzewa       | drzewem        | drzewa       | drzew        | drzewami
        flower     | m      | kwiat        | kwiatu       | kwiatem        | kwiaty       | kwiatów      | kwiatami
        mushroom   | m      | grzyb        | grzyba       | grzybem        | grzyby       | grzybów      | grzybami
        chair      | n      | krzesło      | krzesła      | krzesłem       | krzesła      | krzeseł      | krzesłami
        umbrella   | m      | parasol      | parasola     | parasolem      | parasole     | parasoli     | parasolami
        ball       | f      | piłka        | piłki        | piłką          | piłki        | piłek        | piłkami
        balloon    | m      | balon        | balonu       | balonem        | balony       | balonów      | balonami
        kite       | m      | latawiec     | latawca      | latawcem       | latawce      | latawców     | latawcami
        car+       | n      | auto         | auta         | autem          | auta         | aut          | autami
        boat+      | f      | łódź         | łodzi        | łodzią         | łodzie       | łodzi        | łodziami
        house+     | m      | domek        | domku        | domkiem        | domki        | domków       | domkami
        kite!      | f      | kania        | kani         | kanią          | kanie        | kani         | kaniami
        plane!     | f      | płaszczyzna  | płaszczyzny  | płaszczyzną    | płaszczyzny  | płaszczyzn   | płaszczyznami
        ball!      | m      | bal          | balu         | balem          | bale         | balów        | balami
    """),
    adjectives=inflect(
        """
        red    | hard  | czerwon
        blue   | velar | niebiesk
        green  | hard  | zielon
        yellow | hard  | żółt
        white  | hard  | biał
        black  | hard  | czarn
        orange | hard  | pomarańczow
        purple | hard  | fioletow
        brown  | hard  | brązow
        pink   | hard  | różow
        small  | hard  | mał
        big    | hard  | duż
        """,
        {"hard": _ADJECTIVE, "velar": _VELAR},
    ),
    numerals={
        1: {"": ""},
        2: {"nom.f": "dwie", "nom": "dwa", "gen": "dwóch", "ins.f": "dwiema", "ins": "dwoma"},
        3: {"nom": "trzy", "gen": "trzech", "ins": "trzema"},
        4: {"nom": "cztery", "gen": "czterech", "ins": "czterema"},
        5: {"nom": "pięć", "gen": "pięciu", "ins": "pięcioma"},
    },
    verbs=table("""
        verb   | sg       | pl
        stand  | stoi     | stoją
        sit    | siedzi   | siedzą
        lie    | leży     | leżą
        park   | stoi     | stoją
        fly    | lata     | latają
        float  | unosi się | unoszą się
        grow   | rośnie   | rosną
    """),
    verb_number={"one": "sg", "few": "pl", "many": "sg"},
    relations={
        "next_to": "obok {gen}",
        "left_of": "na lewo od {gen}",
        "right_of": "na prawo od {gen}",
        "in_front_of": "przed {ins}",
        "behind": "za {ins}",
        "above": "nad {ins}",
        "below": "pod {ins}",
    },
    places=table("""
        place     | a                     | b                    | over
        beach     | na plaży              | nad morzem           | nad plażą
        forest    | w lesie               | na leśnej polanie    | nad lasem
        snow      | na zaśnieżonym polu   | w zimowym krajobrazie | nad zaśnieżonym polem
        street    | na ulicy              | w mieście            | nad ulicą
        meadow    | na zielonej łące      | wśród traw           | nad zieloną łąką
        desert    | na pustyni            | wśród wydm           | nad pustynią
        river     | na brzegu rzeki       | nad wodą             | nad rzeką
        mountains | w górach              | u stóp wysokich gór  | nad górami
        room      | w pokoju              | w domu               | w pokoju
        river!    | na banku rzeki        | nad wodą             | nad rzeką
    """),
    weather=table("""
        weather | a                 | b
        sunny   | -                 | w słoneczny dzień
        night   | w nocy            | w świetle księżyca
        rain    | w deszczu         | w deszczowy dzień
        sunset  | o zachodzie słońca | w wieczornym świetle
    """),
    slip_form={"ins.pl.few": "gen.pl"},
    false_friends={
        "kite": "flying man | flying men",
        "umbrella": "parasol | parasols",
        "car": "self-mover | self-movers",
        "house": "home | homes",
        "balloon": "hot-air ship | hot-air ships",
    },
)
