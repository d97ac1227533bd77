"""Tables of the figures and of the ratios, as aligned text or in Markdown."""
import statistics

from . import LABELS, OWN, PEERS, TESTS

NOISY = 0.2


class Figure:
    """The median of a row's samples in a test, and whether they differ too much to conclude from."""

    def __init__(self, values):
        self.value = statistics.median(values)
        self.noisy = max(values) - min(values) > NOISY * self.value

    def __str__(self):
        digits = 0 if self.value >= 100 else 1 if self.value >= 10 else 2 if self.value >= 1 else 3
        return f"{self.value:.{digits}f}" + "~" * self.noisy


def best_peer(figures, kind, test):
    """The name of the fastest, or smallest, peer of a kind; None where none has the test."""
    names = [n for n in PEERS if PEERS[n].kind == kind and (n, test) in figures]
    if not names:
        return None
    choose = min if TESTS[test].lower_is_better else max
    return choose(names, key=lambda n: figures[n, test].value)


def figure_rows(figures):
    tests = [t for t in TESTS if any((n, t) in figures for n in LABELS)]
    rows = [["tokens/s where no unit is given"] + [TESTS[t].label for t in tests]]
    for name, label in LABELS.items():
        if any((name, t) in figures for t in tests):
            rows.append([label] + [str(figures.get((name, t), "")) for t in tests])
    return rows


def ratio_rows(figures, of_bound):
    """of_bound: {(row, test): fractions of the machine's bound}."""
    rows = [["measured", "engine", "figure", "of bound, %", "best peer", "its figure", "ratio"]]
    for test in TESTS:
        for name, own in OWN.items():
            peer = best_peer(figures, own.kind, test)
            if not peer or (name, test) not in figures:
                continue
            mine, its = figures[name, test], figures[peer, test]
            ratio = its.value / mine.value if TESTS[test].lower_is_better else mine.value / its.value
            noisy = "~" if mine.noisy or its.noisy else ""
            bound = of_bound.get((name, test))
            rows.append([TESTS[test].label, own.label, str(mine), f"{100 * statistics.median(bound):.0f}" if bound else "",
                         LABELS[peer], str(its), f"{ratio:.2f}{noisy}"])
    return rows


def is_number(text):
    return text.rstrip("~").replace(".", "", 1).isdigit() or not text


def format_table(rows, markdown):
    """Columns of numbers are set flush right."""
    right = [all(is_number(cell) for cell in column[1:]) for column in zip(*rows)]
    widths = [max(map(len, column)) for column in zip(*rows)]
    lines = [[cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right)] for row in rows]
    if not markdown:
        return "\n".join("  ".join(line).rstrip() for line in lines)
    rule = ["-" * (w - 1) + ":" if r else "-" * w for w, r in zip(widths, right)]
    return "\n".join("| " + " | ".join(line) + " |" for line in [lines[0], rule, *lines[1:]])


def report(samples, of_bound, missing, title, markdown):
    figures = {key: Figure(values) for key, values in samples.items()}
    print(title, format_table(figure_rows(figures), markdown), format_table(ratio_rows(figures, of_bound), markdown), sep="\n\n")
    print("\nA ratio above 1 says that gpt2q is faster, or smaller; the best peer is the best of those whose weights have as many "
          "bits. ~ the rounds differ by more than 20 %. First token and memory: gpt2q from the start of the process to its end, "
          "at its largest; of peers neither interpreter nor numpy nor, for time, loading their library is counted.")
    for name, reason in missing.items():
        print(f"\nmissing: {LABELS[name]}: {reason}")
