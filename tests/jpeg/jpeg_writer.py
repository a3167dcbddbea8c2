"""A slow, plain JPEG encoder from coefficients, after ITU-T T.81, for files that no other encoder makes."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import numpy as np

ZIGZAG = sorted(range(64), key=lambda i: (i // 8 + i % 8, i // 8 if (i // 8 + i % 8) % 2 else i % 8))


@dataclass
class Part:
    """A component: its planes hold the padding blocks of whole MCUs too."""

    id: int
    h: int
    v: int
    blocks: np.ndarray  # (high, wide, 64) in zigzag order
    quant: np.ndarray = field(default_factory=lambda: np.ones(64, np.uint16))  # zigzag order


@dataclass
class Scan:
    parts: tuple[int, ...]
    begin: int = 0
    end: int = 63
    high: int = 0
    low: int = 0


@dataclass
class Picture:
    width: int
    height: int
    parts: list[Part]
    progressive: bool = False
    restart: int = 0
    frame_marker: int = 0xC0
    wide_quant: bool = False  # 16-bit tables
    seed: int = 0  # of the Huffman codes, which are random
    longest_run_of_ends: int = 0x7FFF
    # Runs longer than they may be at the end of a "block", where they change nothing, or of every "band".
    overlong_runs: str = ""

    def real_blocks(self, part: Part) -> tuple[int, int]:
        top_h, top_v = max(p.h for p in self.parts), max(p.v for p in self.parts)
        wide, high = -(-self.width * part.h // top_h), -(-self.height * part.v // top_v)
        return -(-high // 8), -(-wide // 8)

    def mcus(self) -> tuple[int, int]:
        top_h, top_v = max(p.h for p in self.parts), max(p.v for p in self.parts)
        return -(-self.height // (8 * top_v)), -(-self.width // (8 * top_h))

    def planes(self) -> list[np.ndarray]:
        """What a reader must return: (blocks high, blocks wide, 8, 8) in natural order."""
        result = []
        for part in self.parts:
            high, wide = self.real_blocks(part)
            natural = np.zeros((high, wide, 64), np.int16)
            natural[..., ZIGZAG] = part.blocks[:high, :wide]
            result.append(natural.reshape(high, wide, 8, 8))
        return result


def random_picture(
    seed: int,
    width: int,
    height: int,
    sampling: list[tuple[int, int]],
    *,
    density: float = 0.15,
    largest: int = 1023,
    **options,
) -> Picture:
    """Coefficients without any image behind them; `sampling` holds (h, v) for each component."""
    generator = np.random.default_rng(seed)
    picture = Picture(width, height, [], seed=seed, **options)
    top_h, top_v = max(h for h, _ in sampling), max(v for _, v in sampling)
    rows, columns = -(-height // (8 * top_v)), -(-width // (8 * top_h))
    for i, (h, v) in enumerate(sampling):
        shape = (rows * v, columns * h, 64)
        magnitude = np.exp(generator.uniform(0, np.log(largest + 1), shape)).astype(np.int16)
        sign = generator.choice(np.array([-1, 1], np.int16), shape)
        # Some blocks are empty, some full to the last coefficient.
        chance = density * generator.choice([0, 0.3, 1, 1 / density], shape[:2])[..., None]
        chance[..., 0] = 1
        blocks = np.where(generator.random(shape) < chance, magnitude * sign, 0).astype(np.int16)
        quant = generator.integers(1, 65536 if options.get("wide_quant") else 256, 64).astype(np.uint16)
        picture.parts.append(Part(i + 1, h, v, blocks, quant))
    return picture


def segment(marker: int, payload: bytes = b"") -> bytes:
    return bytes([0xFF, marker]) + (len(payload) + 2).to_bytes(2, "big") + payload


def write(picture: Picture, scans: list[Scan]) -> bytes:
    out = bytearray(b"\xff\xd8")
    for i, part in enumerate(picture.parts):
        width = 2 if picture.wide_quant else 1
        table = b"".join(int(q).to_bytes(width, "big") for q in part.quant)
        out += segment(0xDB, bytes([picture.wide_quant << 4 | i]) + table)
    out += segment(0xC2 if picture.progressive else picture.frame_marker, frame_header(picture))
    if picture.restart:
        out += segment(0xDD, picture.restart.to_bytes(2, "big"))
    for number, scan in enumerate(scans):
        # The same code for DC and AC would do, but not for what a reader may confuse.
        dc = HuffmanCode(range(16), picture.seed + 2 * number)
        ac = HuffmanCode(range(256), picture.seed + 2 * number + 1)
        slot = number % 4
        out += segment(0xC4, bytes([slot]) + dc.definition())
        out += segment(0xC4, bytes([0x10 | slot]) + ac.definition())
        listed = b"".join(bytes([picture.parts[i].id, slot << 4 | slot]) for i in scan.parts)
        tail = bytes([scan.begin, scan.end, scan.high << 4 | scan.low])
        out += segment(0xDA, bytes([len(scan.parts)]) + listed + tail)
        out += ScanWriter(picture, scan, dc, ac).run()
    return bytes(out + b"\xff\xd9")


def frame_header(picture: Picture) -> bytes:
    head = b"\x08" + picture.height.to_bytes(2, "big") + picture.width.to_bytes(2, "big")
    listed = b"".join(bytes([p.id, p.h << 4 | p.v, i]) for i, p in enumerate(picture.parts))
    return head + bytes([len(picture.parts)]) + listed


class HuffmanCode:
    """A random prefix code: eight short codes and the rest of 16 bits, or five short ones, or all even."""

    def __init__(self, symbols, seed: int):
        self.symbols = list(symbols)
        shuffled = random.Random(seed)
        shuffled.shuffle(self.symbols)
        n = len(self.symbols)
        even = (n + 1).bit_length()
        kind = shuffled.randrange(3)
        if kind == 0:
            lengths = [*range(1, min(n, 8) + 1), *[16] * (n - 8)]
        elif kind == 1:
            lengths = [*range(2, 7), *[even + 3] * (n - 5)]
        else:
            lengths = [*[even - 1] * 2, *[even] * (n - 2)]
        self.counts = [lengths.count(bits) for bits in range(1, 17)]
        self.codes, code = {}, 0
        for i, bits in enumerate(lengths):
            self.codes[self.symbols[i]] = (code, bits)
            longer = lengths[i + 1] - bits if i + 1 < n else 0
            code = (code + 1) << longer

    def definition(self) -> bytes:
        return bytes(self.counts) + bytes(self.symbols)


class ScanWriter:
    def __init__(self, picture: Picture, scan: Scan, dc: HuffmanCode, ac: HuffmanCode):
        self.picture, self.scan, self.dc, self.ac = picture, scan, dc, ac
        self.out = bytearray()
        self.start_interval()

    def start_interval(self) -> None:
        self.bits: list[str] = []
        self.before = dict.fromkeys(self.scan.parts, 0)
        self.run_of_ends = 0
        self.corrections: list[int] = []

    def put(self, value: int, bits: int) -> None:
        if bits:
            self.bits.append(format(value, f"0{bits}b"))

    def put_symbol(self, code: HuffmanCode, symbol: int) -> None:
        self.put(*code.codes[symbol])

    def put_value(self, value: int, bits: int) -> None:
        self.put(value if value > 0 else value + (1 << bits) - 1, bits)

    def end_interval(self) -> None:
        self.flush_run_of_ends()
        text = "".join(self.bits)
        text += "1" * (-len(text) % 8)
        data = int(text, 2).to_bytes(len(text) // 8, "big") if text else b""
        self.out += data.replace(b"\xff", b"\xff\x00")
        self.start_interval()

    def run(self) -> bytes:
        units = list(self.units())
        interval = self.picture.restart or len(units)
        for number, unit in enumerate(units):
            if number and number % interval == 0:
                self.end_interval()
                self.out += bytes([0xFF, 0xD0 + (number // interval - 1) % 8])
            for index, block in unit:
                self.block(index, block)
        self.end_interval()
        return bytes(self.out)

    def units(self):
        """MCUs, each a list of (component, block)."""
        picture = self.picture
        if len(self.scan.parts) == 1:
            index = self.scan.parts[0]
            part = picture.parts[index]
            high, wide = picture.real_blocks(part)
            for y in range(high):
                for x in range(wide):
                    yield [(index, part.blocks[y, x])]
            return
        rows, columns = picture.mcus()
        for row in range(rows):
            for column in range(columns):
                unit = []
                for index in self.scan.parts:
                    p = picture.parts[index]
                    for y in range(p.v):
                        for x in range(p.h):
                            unit.append((index, p.blocks[row * p.v + y, column * p.h + x]))
                yield unit

    def block(self, index: int, block: np.ndarray) -> None:
        values = [int(v) for v in block]
        if not self.picture.progressive:
            self.dc_first(index, values)
            self.ac_first(values, 1, 63)
        elif self.scan.begin == 0:
            (self.dc_refine if self.scan.high else self.dc_first)(index, values)
        elif self.scan.high:
            self.ac_refine(values)
        else:
            self.ac_first(values, self.scan.begin, self.scan.end)

    def dc_first(self, index: int, values: list[int]) -> None:
        value = values[0] >> self.scan.low
        difference = value - self.before[index]
        self.before[index] = value
        bits = abs(difference).bit_length()
        self.put_symbol(self.dc, bits)
        self.put_value(difference, bits)

    def dc_refine(self, index: int, values: list[int]) -> None:
        self.put(values[0] >> self.scan.low & 1, 1)

    def shifted(self, value: int) -> int:
        return (abs(value) >> self.scan.low) * (1 if value >= 0 else -1)

    def leaves(self, k: int, end: int) -> bool:
        what = self.picture.overlong_runs
        # Later bits of a value that is not where it belongs could not be written.
        return k == end and ((what == "block" and end == 63) or (what == "band" and self.scan.low == 0))

    def ac_first(self, values: list[int], begin: int, end: int) -> None:
        run = 0
        for k in range(begin, end + 1):
            value = self.shifted(values[k])
            if value == 0:
                run += 1
                continue
            self.flush_run_of_ends()
            while run > 15:
                self.put_symbol(self.ac, 0xF0)
                run -= 16
            if self.leaves(k, end):
                run = 15
            bits = abs(value).bit_length()
            self.put_symbol(self.ac, run << 4 | bits)
            self.put_value(value, bits)
            run = 0
        if run and run < 16 and self.leaves(end, end):
            self.flush_run_of_ends()
            self.put_symbol(self.ac, 0xF0)
        elif run:
            self.end_of_block()

    def end_of_block(self) -> None:
        if not self.picture.progressive:
            self.put_symbol(self.ac, 0)
            return
        self.run_of_ends += 1
        if self.run_of_ends == self.picture.longest_run_of_ends:
            self.flush_run_of_ends()

    def flush_run_of_ends(self) -> None:
        if self.run_of_ends:
            bits = self.run_of_ends.bit_length() - 1
            self.put_symbol(self.ac, bits << 4)
            self.put(self.run_of_ends - (1 << bits), bits)
            self.run_of_ends = 0
        self.flush_corrections()

    def flush_corrections(self) -> None:
        for bit in self.corrections:
            self.put(bit, 1)
        self.corrections = []

    def ac_refine(self, values: list[int]) -> None:
        """T.81 G.1.2.3: new coefficients as runs over those still zero, bits of the others in between."""
        magnitudes = [abs(v) >> self.scan.low for v in values]
        last_new = max(
            (k for k in range(self.scan.begin, self.scan.end + 1) if magnitudes[k] == 1), default=0
        )
        run, corrections = 0, []
        for k in range(self.scan.begin, self.scan.end + 1):
            if magnitudes[k] == 0:
                run += 1
                continue
            while run > 15 and k <= last_new:
                self.flush_run_of_ends()
                self.put_symbol(self.ac, 0xF0)
                run -= 16
                self.corrections, corrections = corrections, []
                self.flush_corrections()
            if magnitudes[k] > 1:
                corrections.append(magnitudes[k] & 1)
                continue
            self.flush_run_of_ends()
            if self.leaves(k, self.scan.end):
                run = 15
            self.put_symbol(self.ac, run << 4 | 1)
            self.put(int(values[k] >= 0), 1)
            self.corrections, corrections = corrections, []
            self.flush_corrections()
            run = 0
        if run or corrections:
            self.corrections += corrections
            self.end_of_block()
