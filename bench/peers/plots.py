"""Two small line charts as SVG: cost of a step against the batch and against the context."""
WIDTH, HEIGHT, LEFT, BOTTOM, TOP, RIGHT = 640, 320, 70, 50, 40, 20
COLOURS = ("#1f6feb", "#d1242f", "#2da44e", "#8250df")


def nice_step(span: float, parts: int) -> float:
    """The step of 1, 2 or 5 times a power of ten that cuts `span` into about `parts`."""
    power = 1.0
    while power * 10 <= span / parts:
        power *= 10
    while power > span / parts:
        power /= 10
    return next(power * m for m in (1, 2, 5, 10) if power * m * parts >= span)


def chart(title: str, x_name: str, y_name: str, series: dict) -> str:
    """`series`: name → list of (x, y). Both axes start at zero, so that a straight line shows."""
    points = [p for line in series.values() for p in line]
    x_max = max(x for x, _ in points) or 1
    y_max = max(y for _, y in points) or 1
    x_step, y_step = nice_step(x_max, 8), nice_step(y_max, 5)

    def at(x, y):
        return (LEFT + x / x_max * (WIDTH - LEFT - RIGHT),
                HEIGHT - BOTTOM - y / (y_max * 1.05) * (HEIGHT - BOTTOM - TOP))
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           'font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="22" font-size="14">{title}</text>']
    for i in range(int(y_max * 1.05 / y_step) + 1):
        x, y = at(0, i * y_step)
        out.append(f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{i * y_step:g}</text>')
    for i in range(int(x_max / x_step) + 1):
        x, y = at(i * x_step, 0)
        out.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{i * x_step:g}</text>')
    out.append(f'<text x="{(LEFT + WIDTH) / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">{x_name}</text>')
    out.append(f'<text transform="translate(16 {HEIGHT / 2:.0f}) rotate(-90)" text-anchor="middle">'
               f'{y_name}</text>')
    for number, (name, line) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (at(*p) for p in line))
        out.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for p in line:
            x, y = at(*p)
            out.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>')
        out.append(f'<text x="{LEFT + 10}" y="{TOP + 14 + 16 * number}" fill="{colour}">{name}</text>')
    return "\n".join(out + ["</svg>", ""])
