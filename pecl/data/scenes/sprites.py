"""The things of a scene as shapes on a unit square (x to the right, y down, standing on y = 1).

Each line is `shape colour numbers`: `oval` and `box` x0 y0 x1 y1; `pie` x0 y0 x1 y1 from to (degrees, clockwise from
three o'clock); `ring` width x0 y0 x1 y1; `line` width x y x y ...; `poly` x y x y ...
Colours are `main`, `light` and `dark` (shades of the thing's own colour) or a name of `palette.PALETTE`.
"""

# How large a thing is drawn, relative to its room: iconic, not to scale.
SCALES: dict[str, float] = {"house": 1.15, "tree": 1.2, "bus": 1.15, "ball": 0.75, "flower": 0.9, "mushroom": 0.85}

SPRITES: dict[str, str] = {
    "dog": """
        line main .07 .30 .88 .14 .76 .10 .60
        oval main .20 .48 .62 .99
        oval main .40 .38 .70 .92
        box main .52 .72 .63 .99
        oval main .43 .10 .84 .52
        oval light .68 .28 .97 .50
        oval ink .88 .29 .97 .38
        oval ink .65 .22 .72 .30
        oval dark .40 .12 .56 .52
        line beak .05 .46 .53 .70 .57
    """,
    "cat": """
        line main .08 .68 .93 .92 .88 .93 .62
        oval main .25 .44 .75 .99
        poly main .23 .32 .24 .02 .47 .16
        poly main .77 .32 .76 .02 .53 .16
        poly rose .28 .22 .28 .09 .38 .16
        poly rose .72 .22 .72 .09 .62 .16
        oval main .21 .10 .79 .58
        oval amber .32 .26 .45 .39
        oval amber .55 .26 .68 .39
        oval ink .37 .27 .41 .38
        oval ink .59 .27 .63 .38
        poly rose .46 .42 .54 .42 .50 .47
        line steel .012 .14 .42 .40 .46
        line steel .012 .86 .42 .60 .46
        line steel .012 .14 .52 .40 .48
        line steel .012 .86 .52 .60 .48
        oval light .40 .62 .60 .88
    """,
    "horse": """
        line dark .08 .14 .42 .05 .55 .07 .78
        line main .08 .24 .60 .22 .98
        line main .08 .36 .60 .38 .98
        line main .08 .60 .60 .58 .98
        line main .08 .69 .60 .72 .98
        oval main .12 .34 .78 .66
        poly main .58 .44 .70 .10 .84 .14 .78 .54
        poly main .68 .10 .78 .04 .99 .30 .92 .38 .78 .26
        poly dark .70 .02 .77 .10 .69 .12
        line dark .07 .69 .10 .60 .24 .56 .42
        oval ink .80 .14 .85 .19
    """,
    "sheep": """
        line ink .07 .30 .70 .30 .98
        line ink .07 .42 .70 .42 .98
        line ink .07 .60 .70 .60 .98
        line ink .07 .70 .70 .70 .98
        oval main .10 .36 .44 .72
        oval main .26 .26 .60 .60
        oval main .24 .48 .60 .82
        oval main .46 .28 .80 .64
        oval main .48 .48 .82 .80
        oval main .30 .36 .68 .70
        oval ink .72 .28 .97 .62
        oval main .68 .20 .92 .40
        oval paper .82 .38 .89 .46
    """,
    "duck": """
        oval main .06 .46 .80 .96
        poly main .02 .42 .24 .58 .10 .74
        oval main .52 .08 .90 .50
        poly beak .86 .24 1.0 .32 .86 .38
        oval ink .72 .20 .79 .28
        oval dark .22 .56 .62 .84
        line beak .05 .36 .94 .36 .99 .46 .99
    """,
    "bird": """
        poly dark .02 .44 .22 .52 .06 .64
        poly dark .38 .50 .30 .06 .62 .46
        oval main .14 .40 .80 .70
        oval main .64 .30 .92 .60
        poly beak .89 .40 1.0 .46 .89 .52
        oval paper .76 .38 .85 .48
        oval ink .79 .40 .84 .46
        poly main .34 .54 .44 .98 .64 .56
    """,
    "butterfly": """
        oval main .03 .08 .48 .56
        oval main .52 .08 .97 .56
        oval dark .12 .48 .48 .92
        oval dark .52 .48 .88 .92
        oval light .14 .18 .34 .40
        oval light .66 .18 .86 .40
        oval ink .46 .20 .54 .86
        line ink .02 .49 .22 .36 .02
        line ink .02 .51 .22 .64 .02
    """,
    "car": """
        poly main .18 .52 .30 .24 .68 .24 .84 .52
        box main .02 .48 .98 .82
        poly glass .26 .49 .34 .30 .48 .30 .48 .49
        poly glass .53 .49 .53 .30 .65 .30 .75 .49
        oval amber .89 .52 .98 .63
        line dark .02 .50 .50 .50 .80
        oval ink .12 .66 .38 .94
        oval ink .62 .66 .88 .94
        oval steel .19 .73 .31 .87
        oval steel .69 .73 .81 .87
    """,
    "bus": """
        box main .02 .18 .98 .84
        box glass .06 .27 .21 .50
        box glass .25 .27 .40 .50
        box glass .44 .27 .59 .50
        box glass .63 .27 .78 .50
        box glass .82 .27 .96 .72
        line light .04 .04 .60 .80 .60
        oval ink .13 .70 .35 .94
        oval ink .62 .70 .84 .94
        oval steel .19 .76 .29 .88
        oval steel .68 .76 .78 .88
    """,
    "bicycle": """
        ring ink .035 .02 .48 .44 .94
        ring ink .035 .56 .48 .98 .94
        line main .06 .23 .71 .38 .40 .68 .40 .48 .71 .23 .71
        line main .06 .48 .71 .36 .34
        line main .06 .77 .71 .66 .30
        line ink .05 .28 .33 .44 .33
        line ink .05 .60 .28 .76 .26
    """,
    "boat": """
        line wood .03 .50 .70 .50 .04
        poly paper .53 .08 .88 .60 .53 .60
        poly light .47 .14 .20 .60 .47 .60
        poly main .04 .66 .96 .66 .80 .96 .20 .96
        line dark .03 .10 .75 .90 .75
    """,
    "plane": """
        poly dark .40 .44 .56 .10 .66 .10 .60 .46
        poly main .04 .26 .14 .24 .26 .46 .08 .48
        oval main .04 .38 .98 .64
        poly glass .84 .44 .94 .48 .82 .51
        line glass .045 .28 .48 .72 .48
        poly dark .36 .56 .30 .92 .42 .92 .62 .56
    """,
    "house": """
        box roof .68 .08 .78 .30
        box main .12 .42 .88 .99
        poly roof .03 .46 .50 .06 .97 .46
        box wood .42 .66 .58 .99
        box glass .20 .54 .36 .70
        box glass .64 .54 .80 .70
        oval amber .53 .81 .57 .85
    """,
    "tent": """
        poly main .02 .98 .50 .10 .98 .98
        poly dark .32 .98 .50 .36 .68 .98
        poly light .50 .10 .60 .28 .40 .28
        line wood .02 .50 .10 .44 .02
        line wood .02 .50 .10 .56 .02
    """,
    "tree": """
        poly wood .42 .99 .46 .50 .54 .50 .58 .99
        oval dark .08 .28 .56 .68
        oval main .44 .28 .92 .68
        oval main .22 .04 .76 .50
        oval light .32 .10 .56 .30
        oval main .26 .36 .74 .70
    """,
    "flower": """
        line leaf .05 .50 .50 .48 .99
        oval leaf .50 .68 .78 .80
        oval leaf .22 .76 .50 .88
        oval main .36 .02 .64 .32
        oval main .58 .14 .86 .42
        oval main .54 .34 .80 .62
        oval main .36 .42 .64 .68
        oval main .20 .34 .46 .62
        oval main .14 .14 .42 .42
        oval amber .38 .24 .62 .46
        oval wood .44 .30 .56 .41
    """,
    "mushroom": """
        poly cream .38 .50 .62 .50 .68 .98 .32 .98
        pie main .04 .08 .96 1.0 180 360
        oval paper .20 .30 .34 .44
        oval paper .42 .14 .58 .30
        oval paper .66 .30 .80 .44
        oval cream .30 .48 .70 .58
    """,
    "chair": """
        box main .22 .04 .32 .98
        box main .66 .60 .76 .98
        box light .26 .08 .36 .56
        box main .30 .12 .34 .54
        box main .20 .52 .80 .64
        line dark .05 .40 .64 .40 .94
        line dark .05 .60 .64 .60 .94
        box main .22 .04 .70 .16
        box main .22 .24 .70 .34
        box main .60 .04 .70 .56
    """,
    "umbrella": """
        line wood .04 .50 .06 .50 .90 .54 .97 .62 .97 .66 .90
        pie main .02 .06 .98 1.02 180 360
        pie light .18 .06 .82 1.02 180 360
        pie main .36 .06 .64 1.02 180 360
    """,
    "ball": """
        oval main .04 .06 .96 .98
        pie paper .04 .06 .96 .98 20 70
        pie paper .04 .06 .96 .98 140 190
        pie paper .04 .06 .96 .98 260 310
        oval main .40 .42 .60 .62
    """,
    "balloon": """
        line steel .015 .50 .70 .46 .82 .54 .90 .50 1.0
        poly dark .44 .74 .56 .74 .50 .66
        oval main .16 .02 .84 .70
        oval light .28 .12 .44 .32
    """,
    "kite": """
        line ink .015 .50 .72 .42 .82 .56 .90 .48 .99
        poly main .50 .02 .84 .32 .50 .74 .16 .32
        poly light .50 .02 .84 .32 .50 .32
        poly dark .16 .32 .50 .32 .50 .74
        poly beak .36 .80 .44 .84 .38 .88
        poly beak .60 .88 .52 .91 .60 .95
    """,
}
