"""Small files of every kind the reader reads."""

import random
from collections.abc import Iterator

from jpeg_files import encode, photo
from jpeg_writer import Picture, Scan, random_picture, write


def samples() -> Iterator[tuple[str, bytes]]:
    """(name, file) pairs, written by Pillow and by the tests' own encoder."""
    for subsampling in ("4:4:4", "4:2:2", "4:2:0"):
        for progressive in (False, True):
            for quality in (30, 96):
                name = f"pillow-{subsampling.replace(':', '')}-{quality}{'-progressive' * progressive}"
                options = {"quality": quality, "subsampling": subsampling, "progressive": progressive}
                yield name, encode(photo(45, 70), **options, optimize=quality == 30)
    yield "pillow-gray", encode(photo(33, 50, "L"))
    yield "pillow-cmyk", encode(photo(33, 50, "CMYK"))
    yield "pillow-restarts", encode(photo(64, 90), restart_marker_blocks=3)
    yield "pillow-restarts-progressive", encode(photo(64, 90), restart_marker_rows=1, progressive=True)
    for seed in range(24):
        picture, scans = random_file(seed)
        yield f"own-{seed}", write(picture, scans)


def random_file(seed: int) -> tuple[Picture, list[Scan]]:
    """A file with anything legal in its header: even seeds are sequential, odd ones progressive."""
    choose = random.Random(seed)
    count = choose.choice([1, 2, 3, 3, 4])
    while True:
        sampling = [(choose.randint(1, 4), choose.randint(1, 4)) for _ in range(count)]
        if sum(h * v for h, v in sampling) <= 10:
            break
    progressive = seed % 2 == 1
    picture = random_picture(
        seed,
        choose.randint(1, 90),
        choose.randint(1, 90),
        sampling,
        progressive=progressive,
        restart=choose.choice([0, 0, 1, 5]),
        frame_marker=choose.choice([0xC0, 0xC1]),
        wide_quant=choose.random() < 0.3,
        longest_run_of_ends=choose.choice([1, 3, 0x7FFF]),
        overlong_runs="block" if seed % 5 == 0 else "",
    )
    return picture, (progressive_scans if progressive else sequential_scans)(count, choose)


def sequential_scans(count: int, choose: random.Random) -> list[Scan]:
    everything = list(range(count))
    kind = choose.randrange(3)
    if kind == 0:
        return [Scan(tuple(everything))]
    if kind == 1 and count > 1:
        return [Scan((0,)), Scan(tuple(everything[1:]))]
    choose.shuffle(everything)
    return [Scan((i,)) for i in everything]


def progressive_scans(count: int, choose: random.Random) -> list[Scan]:
    everything = tuple(range(count))
    low = choose.randint(0, 2)
    scans = [Scan(everything, 0, 0, 0, low)]
    for i in everything:
        cut = choose.randint(1, 62)
        lowest = choose.randint(0, 2), choose.randint(0, 3)
        scans += [Scan((i,), 1, cut, 0, lowest[0]), Scan((i,), cut + 1, 63, 0, lowest[1])]
        # Refined one by one down to a common bit, from there on together.
        common = min(lowest)
        for (begin, end), bit in zip(((1, cut), (cut + 1, 63)), lowest, strict=True):
            scans += [Scan((i,), begin, end, b + 1, b) for b in range(bit - 1, common - 1, -1)]
        scans += [Scan((i,), 1, 63, b + 1, b) for b in range(common - 1, -1, -1)]
    return scans + [Scan(everything, 0, 0, b + 1, b) for b in range(low - 1, -1, -1)]
