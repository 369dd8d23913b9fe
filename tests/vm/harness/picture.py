"""Draws runs of the demo one above the other as an SVG: memory over time, and what was done when.

No dependency, and nothing in it that a browser has to fetch. Colours follow the reader's light or dark theme; what is
told by a colour is told by a shape and a row of its own, too.
"""

from dataclasses import dataclass, field
from xml.sax.saxutils import escape

WIDTH = 960
LEFT, RIGHT = 130, 56
PLOT = 200
LANE = 19
PANEL_HEAD, PANEL_GAP, AXIS = 50, 16, 26
MIB = 1 << 20

# (kind, words, shape): a row of marks each, in every panel, so that the panels compare.
LANES = (
    ("oom", "kernel OOM kill", "cross"),
    ("kill", "kill by headroomd", "diamond"),
    ("pause", "pause", "bars"),
    ("resume", "resume", "play"),
    ("finished", "task finished", "dot"),
)

# No CSS variables: not everything that shows an SVG knows them.
LIGHT = {"paper": "#ffffff", "ink": "#1f2328", "soft": "#59636e", "grid": "#d8dee4", "area": "#b6d4fe", "edge": "#1a5fb4",
         "limit": "#6639a6", "oom": "#cf222e", "kill": "#bc4c00", "pause": "#9a6700", "resume": "#0a7ea4", "finished": "#1a7f37"}
DARK = {"paper": "#0d1117", "ink": "#e6edf3", "soft": "#9198a1", "grid": "#2b323b", "area": "#1f3f66", "edge": "#79b8ff",
        "limit": "#c297ff", "oom": "#ff7b72", "kill": "#ffa657", "pause": "#e3b341", "resume": "#56d4dd", "finished": "#56d364"}
FORM = """text { font:13px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif; }
.head { font-size:16px; font-weight:600; } .small { font-size:12px; } .none { opacity:.6; }
.grid, .frame { stroke-width:1; } .edge { fill:none; stroke-width:1.5; stroke-linejoin:round; }
.limit { stroke-width:1.5; stroke-dasharray:6 4; } .node { stroke-width:1.5; } .halo { stroke-width:3; paint-order:stroke; }
.mark { fill:currentColor; stroke-width:1; paint-order:stroke; } .line { fill:none; stroke:currentColor; stroke-width:2; }
"""


def colours(of):
    rules = ["text { fill:%(ink)s; } .paper { fill:%(paper)s; } .soft, .none { fill:%(soft)s; } .area { fill:%(area)s; }"
             ".grid { stroke:%(grid)s; } .frame { stroke:%(soft)s; } .node { stroke:%(ink)s; } .edge { stroke:%(edge)s; }"
             ".mark { stroke:%(paper)s; } .limit { stroke:%(limit)s; } .limit-text { fill:%(limit)s; } .halo { stroke:%(paper)s; }" % of]
    return " ".join(rules + [".%s { color:%s; }" % (kind, of[kind]) for kind, _, _ in LANES])


STYLE = "\n%s%s\n@media (prefers-color-scheme: dark) { %s }\n" % (FORM, colours(LIGHT), colours(DARK))

SHAPES = {
    "cross": '<path id="cross" class="line" d="M-4,-4 L4,4 M-4,4 L4,-4"/>',
    "diamond": '<path id="diamond" class="mark" d="M0,-5.5 L5,0 L0,5.5 L-5,0 Z"/>',
    "bars": '<path id="bars" class="mark" d="M-4,-5 h3 v10 h-3 Z M1,-5 h3 v10 h-3 Z"/>',
    "play": '<path id="play" class="mark" d="M-3.5,-5 L5,0 L-3.5,5 Z"/>',
    "dot": '<circle id="dot" class="mark" r="3.5"/>',
}


@dataclass
class Run:
    title: str
    detail: str
    total_bytes: int
    limit_bytes: int = 0  # 0: there is none
    series: list = field(default_factory=list)  # (seconds, bytes), in order
    marks: list = field(default_factory=list)  # (seconds, kind)
    seconds: float = 0.0  # how long it took


def value_at(series, seconds):
    """Of the line through the samples."""
    before = None
    for at, value in series:
        if at >= seconds:
            if before is None or at == before[0]:
                return value
            return before[1] + (value - before[1]) * (seconds - before[0]) / (at - before[0])
        before = (at, value)
    return before[1] if before else 0


class Panel:
    def __init__(self, run, top, seconds, total):
        self.run, self.top, self.seconds, self.total = run, top, seconds, total
        self.plot_top = top + PANEL_HEAD
        self.plot_bottom = self.plot_top + PLOT
        self.lanes_bottom = self.plot_bottom + AXIS + LANE * len(LANES)
        self.out = []

    def x(self, seconds):
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(seconds, 0), self.seconds) / self.seconds

    def y(self, value):
        return self.plot_bottom - PLOT * min(max(value, 0), self.total) / self.total

    def text(self, x, y, words, style="", anchor="start"):
        self.out.append('<text x="%.1f" y="%.1f" class="%s" text-anchor="%s">%s</text>' % (x, y, style, anchor, escape(words)))

    def line(self, x1, y1, x2, y2, style):
        self.out.append('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>' % (x1, y1, x2, y2, style))

    def axes(self):
        right = WIDTH - RIGHT
        for mib in range(0, self.total // MIB, 250):
            if self.total // MIB - mib > 60:
                self.line(LEFT, self.y(mib * MIB), right, self.y(mib * MIB), "frame" if mib == 0 else "grid")
                self.text(LEFT - 8, self.y(mib * MIB) + 4, "%d MiB" % mib, "soft small", "end")
        self.line(LEFT, self.y(self.total), right, self.y(self.total), "node")
        self.text(LEFT - 8, self.y(self.total) + 4, "node: %d MiB" % (self.total // MIB), "small", "end")
        for second in range(0, int(self.seconds) + 1, 10):
            self.line(self.x(second), self.plot_top, self.x(second), self.lanes_bottom, "grid")
            self.text(self.x(second), self.plot_bottom + 17, "%d s" % second, "soft small", "middle")

    def curve(self):
        if not self.run.series:
            return
        series = [sample for sample in self.run.series if sample[0] <= self.seconds] or self.run.series[:1]
        points = " ".join("%.1f,%.1f" % (self.x(at), self.y(value)) for at, value in series)
        first, last = self.x(series[0][0]), self.x(series[-1][0])
        self.out.append('<polygon class="area" points="%.1f,%.1f %s %.1f,%.1f"/>' %
                        (first, self.plot_bottom, points, last, self.plot_bottom))
        self.out.append('<polyline class="edge" points="%s"/>' % points)

    def limit(self):
        if not self.run.limit_bytes:
            return
        y = self.y(self.run.limit_bytes)
        self.line(LEFT, y, WIDTH - RIGHT, y, "limit")
        self.text(WIDTH - RIGHT - 6, y + 15, "limit of the work: %d MiB" % (self.run.limit_bytes // MIB), "limit-text small halo", "end")

    def end(self):
        if not 0 < self.run.seconds < self.seconds - 2:
            return
        x = self.x(self.run.seconds)
        self.line(x, self.plot_top, x, self.plot_bottom, "frame")
        self.text(x + 8, self.plot_bottom - 8, "over after %.1f s" % self.run.seconds, "small halo")

    def marks(self):
        for row, (kind, words, shape) in enumerate(LANES):
            y = self.plot_bottom + AXIS + LANE * (row + 0.5)
            times = sorted(at for at, what in self.run.marks if what == kind)
            self.line(LEFT, y, WIDTH - RIGHT, y, "grid")
            self.text(LEFT - 8, y + 4, words, "small" if times else "small none", "end")
            self.text(WIDTH - RIGHT + 8, y + 4, str(len(times)), "small" if times else "small none")
            for at in times:
                self.out.append('<use href="#%s" class="%s" x="%.1f" y="%.1f"/>' % (shape, kind, self.x(at), y))
                if kind != "finished":
                    self.out.append('<use href="#%s" class="%s" x="%.1f" y="%.1f"/>' %
                                    (shape, kind, self.x(at), self.y(value_at(self.run.series, at))))

    def draw(self):
        self.text(LEFT, self.top + 20, self.run.title, "head")
        self.text(LEFT, self.top + 39, self.run.detail, "soft")
        self.axes()
        self.curve()
        self.limit()
        self.end()
        self.marks()
        return self.out


def draw(runs, title):
    """The text of an SVG file. All panels have the same axes."""
    seconds = max(10.0, 10.0 * -(-(max(run.seconds for run in runs) - 1) // 10))  # a whole number of tens, or a little more
    seconds = max(seconds, max(run.seconds for run in runs))
    total = max(run.total_bytes for run in runs)
    out, top = [], 44
    for run in runs:
        panel = Panel(run, top, seconds, total)
        out += panel.draw()
        top = panel.lanes_bottom + PANEL_GAP
    words = "; ".join("%s: %s" % (run.title, run.detail) for run in runs)
    return "\n".join(
        ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="title words">' % (WIDTH, top),
         '<title id="title">%s</title>' % escape(title), '<desc id="words">%s</desc>' % escape(words),
         "<style>%s</style>" % STYLE, "<defs>%s</defs>" % "".join(SHAPES.values()),
         '<rect class="paper" width="%d" height="%d"/>' % (WIDTH, top),
         '<text x="%d" y="26" class="soft">%s</text>' % (LEFT, escape(title))] + out + ["</svg>", ""])
