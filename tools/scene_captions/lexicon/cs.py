"""Czech: masculine animate (`a`) and inanimate (`m`), feminine, neuter; 2-4 as a plural, 5 with the genitive plural."""

from scene_captions.grammar import inflect, table
from scene_captions.lexicon.slavic import slavic

_ADJECTIVE = {
    "nom.sg.f": "á",
    "nom.sg.n": "é",
    "nom.sg": "ý",
    "gen.sg.f": "é",
    "gen.sg": "ého",
    "ins.sg.f": "ou",
    "ins.sg": "ým",
    "nom.pl.n": "á",
    "nom.pl": "é",
    "gen.pl": "ých",
    "ins.pl": "ými",
}

# The nominative plural of masculine animates ends in -í and softens a final r or k.
_PARADIGMS = {
    "hard": _ADJECTIVE | {"nom.pl.a": "í"},
    "r": {form: "r" + ending for form, ending in _ADJECTIVE.items()} | {"nom.pl.a": "ří"},
    "k": {form: "k" + ending for form, ending in _ADJECTIVE.items()} | {"nom.pl.a": "cí"},
}

CZECH = slavic(
    code="cs",
    nouns=table("""
        noun       | gender | nom.sg     | gen.sg     | ins.sg     | nom.pl     | gen.pl     | ins.pl
        dog        | a      | pes        | psa        | psem       | psi        | psů        | psy
        cat        | f      | kočka      | kočky      | kočkou     | kočky      | koček      | kočkami
        horse      | a      | kůň        | koně       | koněm      | koně       | koní       | koňmi
        sheep      | f      | ovce       | ovce       | ovcí       | ovce       | ovcí       | ovcemi
        duck       | f      | kachna     | kachny     | kachnou    | kachny     | kachen     | kachnami
        bird       | a      | pták       | ptáka      | ptákem     | ptáci      | ptáků      | ptáky
        butterfly  | a      | motýl      | motýla     | motýlem    | motýli     | motýlů     | motýly
        car        | n      | auto       | auta       | autem      | auta       | aut        | auty
        bus        | m      | autobus    | autobusu   | autobusem  | autobusy   | autobusů   | autobusy
        bicycle    | n      | kolo       | kola       | kolem      | kola       | kol        | koly
        boat       | f      | loďka      | loďky      | loďkou     | loďky      | loděk      | loďkami
        plane      | n      | letadlo    | letadla    | letadlem   | letadla    | letadel    | letadly
        house      | m      | dům        | domu       | domem      | domy       | domů       | domy
        tent       | m      | stan       | stanu      | stanem     | stany      | stanů      | stany
        tree       | m      | strom      | stromu     | stromem    | stromy     | stromů     | stromy
        flower     | f      | květina    | květiny    | květinou   | květiny    | květin     | květinami
        mushroom   | f      | houba      | houby      | houbou     | houby      | hub        | houbami
        chair      | f      | židle      | židle      | židlí      | židle      | židlí      | židlemi
        umbrella   | m      | deštník    | deštníku   | deštníkem  | deštníky   | deštníků   | deštníky
        ball       | m      | míč        | míče       | míčem      | míče       | míčů       | míči
        balloon    | m      | balonek    | balonku    | balonkem   | balonky    | balonků    | balonky
        kite       | a      | drak       | draka      | drakem     | draci      | draků      | draky
        car+       | m      | automobil  | automobilu | automobilem | automobily | automobilů | automobily
        boat+      | f      | lodička    | lodičky    | lodičkou   | lodičky    | lodiček    | lodičkami
        house+     | m      | domek      | domku      | domkem     | domky      | domků      | domky
        kite!      | a      | luňák      | luňáka     | luňákem    | luňáci     | luňáků     | luňáky
        plane!     | f      | rovina     | roviny     | rovinou    | roviny     | rovin      | rovinami
        ball!      | m      | ples       | plesu      | plesem     | plesy      | plesů      | plesy
    """),
    adjectives=inflect(
        """
        red    | hard | červen
        blue   | r    | mod
        green  | hard | zelen
        yellow | hard | žlut
        white  | hard | bíl
        black  | hard | čern
        orange | hard | oranžov
        purple | hard | fialov
        brown  | hard | hněd
        pink   | hard | růžov
        small  | hard | mal
        big    | k    | vel
        """,
        _PARADIGMS,
    ),
    numerals={
        1: {"": ""},
        2: {"nom.f": "dvě", "nom.n": "dvě", "nom": "dva", "gen": "dvou", "ins": "dvěma"},
        3: {"nom": "tři", "gen": "tří", "ins": "třemi"},
        4: {"nom": "čtyři", "gen": "čtyř", "ins": "čtyřmi"},
        5: {"nom": "pět", "": "pěti"},
    },
    verbs=table("""
        verb   | sg        | pl
        stand  | stojí     | stojí
        sit    | sedí      | sedí
        lie    | leží      | leží
        park   | parkuje   | parkují
        fly    | létá      | létají
        float  | se vznáší | se vznášejí
        grow   | roste     | rostou
    """),
    verb_number={"one": "sg", "few": "pl", "many": "sg"},
    relations={
        "next_to": "vedle {gen}",
        "left_of": "nalevo od {gen}",
        "right_of": "napravo od {gen}",
        "in_front_of": "před {ins}",
        "behind": "za {ins}",
        "above": "nad {ins}",
        "below": "pod {ins}",
    },
    places=table("""
        place     | a                   | b                     | over
        beach     | na pláži            | u moře                | nad pláží
        forest    | v lese              | na lesní mýtině       | nad lesem
        snow      | na zasněženém poli  | v zimní krajině       | nad zasněženým polem
        street    | na ulici            | ve městě              | nad ulicí
        meadow    | na zelené louce     | v trávě               | nad zelenou loukou
        desert    | v poušti            | mezi písečnými dunami | nad pouští
        river     | na břehu řeky       | u vody                | nad řekou
        mountains | v horách            | pod vysokými horami   | nad horami
        room      | v pokoji            | v domě                | v pokoji
        river!    | na bance řeky       | u vody                | nad řekou
    """),
    weather=table("""
        weather | a                 | b
        sunny   | -                 | za slunečného dne
        night   | v noci            | v měsíčním světle
        rain    | v dešti           | za deštivého dne
        sunset  | při západu slunce | ve večerním světle
    """),
    sentence={  # the verb comes second
        "place_first": "{place}|{verb}|{weather}|{np}|{rel}",
        "weather_first": "{weather}|{verb}|{place}|{np}|{rel}",
    },
    slip_gender={"a": "f"},
    slip_form={"ins.pl.few": "gen.pl"},
    false_friends={
        "kite": "dragon | dragons",
        "bicycle": "wheel | wheels",
        "mushroom": "sponge | sponges",
        "flower": "plant | plants",
        "boat": "little ship | little ships",
    },
)
