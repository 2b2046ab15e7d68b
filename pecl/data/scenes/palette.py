"""Colours of the drawn scenes, in red, green and blue from 0 to 255."""

Colour = tuple[int, int, int]

# Fixed colours of parts: tyres, windows, stems.
PALETTE: dict[str, Colour] = {
    "ink": (38, 34, 44),
    "paper": (250, 248, 242),
    "glass": (188, 222, 240),
    "wood": (122, 84, 52),
    "leaf": (66, 140, 62),
    "steel": (150, 156, 166),
    "rose": (236, 140, 150),
    "beak": (244, 150, 40),
    "amber": (240, 200, 70),
    "roof": (120, 62, 54),
    "cream": (244, 232, 208),
}

# The colours that captions speak of.
COLOURS: dict[str, Colour] = {
    "red": (222, 38, 44),
    "blue": (36, 92, 222),
    "green": (40, 158, 66),
    "yellow": (250, 214, 40),
    "white": (248, 248, 250),
    "black": (44, 42, 48),
    "orange": (250, 136, 24),
    "purple": (136, 58, 190),
    "brown": (134, 82, 44),
    "pink": (250, 130, 184),
}
