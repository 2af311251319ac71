"""The README's tables, from the JSON files of `benchmarks/results`.

    Path("README.md").write_text(filled(readme, RESULTS))

Each table stands between ``<!-- NAME -->`` and ``<!-- end -->``; nobody copies a number by hand.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks import calibration_table, drive, light, methods, ros_tables, training_tables
from benchmarks.markdown import table
from edge_seg.figures import figure

UNET, DEEPLAB = "lane-unet", "deeplabv3plus-mobilenetv2"
OURS = "edge-seg bundle"
_PLACE = re.compile(r"(<!-- (?P<name>[a-z0-9-]+) -->\n).*?(\n<!-- end -->)", re.DOTALL)

Record = dict[str, Any]


def filled(readme: str, results: Path) -> str:
    """Return the text with every table made anew; an unknown name raises `KeyError`."""
    records = {path.stem: json.loads(path.read_text()) for path in results.glob("*.json")}
    made = {
        f"tournament-{UNET}": _tournament(records[f"pack-{UNET}"]),
        f"tournament-{DEEPLAB}": _tournament(records[f"pack-{DEEPLAB}"]),
        f"raspberry-pi-{UNET}": _tournament(records[f"pack-raspberry-pi-{UNET}"]),
        f"raspberry-pi-{DEEPLAB}": _tournament(records[f"pack-raspberry-pi-{DEEPLAB}"]),
        "raspberry-pi": _raspberry_pi(records["raspberry-pi"]["models"]),
        f"jetson-{UNET}": _tournament(records[f"pack-jetson-{UNET}"]),
        f"jetson-{DEEPLAB}": _tournament(records[f"pack-jetson-{DEEPLAB}"]),
        "jetson": _jetson(records["jetson"]["models"]),
        "instructions": _instructions(records["raspberry-pi-instructions"]["reports"]),
        "pipelines": _pipelines(records["x86-pipelines"]),
        "lane-test": _lane_test(records),
        "photographs": _photographs(records["photographs"]["models"]),
        "real-roads": _real_roads(records["photographs"]["models"]),
        "footprint": _footprint(records["footprint"]),
        "scene": _scene(records["scene"]),
    }
    for name in {"transfer", "losses"} & records.keys():
        made[name] = training_tables.readme_table(records[name])
    if "networks" in records:
        made["networks"] = training_tables.networks_table(records["networks"])
    if "calibration" in records:
        made["calibration"] = calibration_table.readme_table(records["calibration"])
    if "light" in records:
        made["light"] = light.light_table(records["light"])
    if "methods" in records:
        made["methods"] = methods.methods_table(records["methods"]["runs"])
    if "ros" in records:
        made["ros-stages"] = ros_tables.stages_table(records["ros"]["models"])
        made["ros-load"] = ros_tables.load_table(records["ros"]["models"])
    if "ros-soak" in records:
        made["ros-soak"] = ros_tables.soak_words(records["ros-soak"])
    if "drive" in records:
        made |= drive.tables(records["drive"])
    if "drive-labels" in records:
        made["drive-labels"] = drive.by_route(records["drive-labels"])
    return _PLACE.sub(lambda m: f"{m[1]}\n{made[m['name']]}\n{m[3]}", readme)


def _machine(record: Record) -> str:
    machine = record["machine"]
    return f"{machine['cpu']}, {machine['cores']} cores, {', '.join(machine['isa'])}"


def _tournament(pack: Record) -> str:
    heads = ["engine", "precision", "", "mIoU, %", "drop, points", "p50, ms", "p99, ms", "MB"]
    rows = []
    for row in pack["candidates"]:
        bold = "**" if row["status"] == "winner" else ""
        why = f": {row['reason']}" if row["reason"] else ""
        cells = [f"{bold}{row['engine']}{bold}", row["precision"], f"{bold}{row['status']}{bold}"]
        cells[2] += why
        cells += [figure(row["miou"], 2), figure(row["drop"], 2)]
        cells += [figure(row["p50_ms"], 1), figure(row["p99_ms"], 1)]
        for name, digits in (("size_bytes", 2), ("peak_rss_bytes", 0)):
            cells.append(figure(row[name] and row[name] / 1e6, digits))
        rows.append(cells)
    return table([*heads, "peak RSS, MB"], rows) + f"\n\nOn {_machine(pack)}."


def _pipelines(record: Record) -> str:
    models = [record["models"][name] for name in (UNET, DEEPLAB)]
    rows = []
    for name in models[0]["entrants"]:
        bold = "**" if name == OURS else ""
        cells = [f"{bold}{name}{bold}"]
        for model in models:
            row = model["entrants"][name]
            cells += [figure(row["p50_ms"], 1), figure(row["times_slower_than_bundle"], 2)]
        rows.append(cells)
    heads = ["", f"{UNET}, ms", "times the bundle", f"{DEEPLAB}, ms", "times the bundle"]
    unet, deeplab = (figure(model["share_outside_engine_percent"], 1) for model in models)
    fbgemm = figure(models[0]["entrants"]["torch fbgemm int8"]["miou"], 1)
    return (
        f"{table(heads, rows)}\n\nMedians, on {_machine(record)}. Outside the engine (resize, "
        f"copies, mask resize) the bundle spends {unet} % of a frame for {UNET} and {deeplab} % "
        f"for DeepLab. fbgemm as PyTorch documents it scores {fbgemm} % mean IoU with {UNET}."
    )


def _raspberry_pi(models: Record) -> str:
    def row(title: str, value: Any) -> list[str]:
        return [title, *(value(models[name]) for name in (UNET, DEEPLAB))]

    def masks(model: Record) -> str:
        counts = [f"{p['identical']} of {p['frames']}" for p in model["proven"]]
        return ", ".join(counts)

    def camera(model: Record) -> str:
        return f"{figure(min(p['camera_agreement_min'] for p in model['proven']))} %"

    processors = ", ".join(proof["processor"] for proof in models[UNET]["proven"])
    rows = [
        row(f"masks identical to this machine's, {processors}", masks),
        row("the same with the device's own resize of a camera frame, pixels", camera),
        row("proof, packages downloaded", lambda m: f"{figure(m['proof_s'], 0)} s"),
        row("pack without proof, nothing cached", lambda m: f"{figure(m['pack_cold_s'], 0)} s"),
        row("frame to mask over a bare LiteRT `invoke`", lambda m: figure(m["times_bare"])),
    ]
    return table(["", UNET, DEEPLAB], rows)


def _jetson(models: Record) -> str:
    def row(title: str, value: Any) -> list[str]:
        return [title, *(value(models[name]) for name in (UNET, DEEPLAB))]

    def of(precision: str, field: str) -> Any:
        def values(model: Record) -> str:
            builds = model["built"][precision]["builds"]
            ends = (pick(build[field] / 1e6 for build in builds) for pick in (min, max))
            return " to ".join(dict.fromkeys(figure(end, 1) for end in ends))

        return values

    def taken(model: Record) -> str:
        names = [build["capability"] for build in model["built"]["int8"]["builds"]]
        return ", ".join(names)

    def kernels(precision: str) -> Any:
        return lambda m: str(m["built"][precision]["builds"][0]["kernels"])

    def floats(model: Record) -> str:
        return ", ".join(model["built"]["int8"]["float_convolutions"]) or "none"

    def times(engine: str) -> Any:
        return lambda m: figure(m["on_x86"][engine]["times_own"])

    rows = [
        row("int8 graph taken and built for", taken),
        row("convolutions that stayed float in it", floats),
        row("kernels of the int8 engine", kernels("int8")),
        row("kernels of the float16 engine", kernels("float16")),
        row("int8 engine's weights, MB", of("int8", "weight_bytes")),
        row("int8 engine's activations, MB", of("int8", "activation_bytes")),
        row("float16 engine's weights, MB", of("float16", "weight_bytes")),
        row("float16 engine's activations, MB", of("float16", "activation_bytes")),
        row("pack, nothing cached", lambda m: f"{figure(m['pack_cold_s'], 0)} s"),
        row("its int8 file in ONNX Runtime on x86, over x86's own", times("onnxruntime")),
        row("its int8 file in OpenVINO on x86, over x86's own", times("openvino")),
    ]
    return table(["", UNET, DEEPLAB], rows)


def _instructions(reports: list[Record]) -> str:
    rows = []
    for report in reports:
        counts = {(c["processor"], c["file"]): c["instructions"] / 1e6 for c in report["counts"]}
        files = list(dict.fromkeys(name for _, name in counts))  # int8, float32
        for processor, ratio in report["ratios"].items():
            pair = [figure(counts[processor, name], 0) for name in files]
            rows.append([files[0].removesuffix("-int8.tflite"), processor, *pair, figure(ratio)])
    return table(["model", "processor", "int8, millions", "float32, millions", "ratio"], rows)


def _lane_test(records: dict[str, Record]) -> str:
    rows = []
    for name in (UNET, DEEPLAB):
        for row in records[f"pack-{name}"]["candidates"]:
            if (row["engine"], row["precision"]) == ("torch", "float32") or row[
                "status"
            ] == "winner":
                classes = ("background", "road", "lane_marking")
                figures = [row["miou"], *(row["iou"][label] for label in classes)]
                cells = [name, f"{row['engine']} {row['precision']}"]
                rows.append(cells + [figure(value, 2) for value in figures])
    return table(["model", "", "mIoU, %", "background", "road", "lane marking"], rows)


def _photographs(models: Record) -> str:
    rows = []
    for unet, deeplab in zip(models[UNET], models[DEEPLAB], strict=True):
        cells = [f"{unet['source']} ({unet['kind']})", str(unet["frames"])]
        cells += [_scores(row[kind]) for row in (unet, deeplab) for kind in ("float", "int8")]
        rows.append(cells)
    kinds = [f"{name} {kind}" for name in (UNET, "DeepLab") for kind in ("float", "int8")]
    return table(["source", "frames", *kinds], rows)


def _real_roads(models: Record) -> str:
    """Return the INT8 models' scores on whole sets of photographs, the short table."""
    rows = []
    for unet, deeplab in zip(models[UNET], models[DEEPLAB], strict=True):
        drawn = unet["kind"] == "rendered" or unet["source"].startswith(training_tables.SIMULATED)
        if "iou" in unet["int8"] and not drawn:
            cells = [unet["source"], str(unet["frames"])]
            for row in (unet, deeplab):
                scores = row["int8"]
                found = (scores["iou"].get("road"), scores["boundary_f1"].get("lane_marking"))
                cells += [figure(value, 1) for value in found]
            rows.append(cells)
    heads = [f"{name}: {what}" for name in (UNET, "DeepLab") for what in ("road", "marking F1")]
    return table(["photographs", "frames", *heads], rows)


def _scene(record: Record) -> str:
    width, height = record["size"]
    rows = [
        [weather, *(figure(row[output]["frames_per_s"], 1) for output in ("rgb", "rgb+semantic"))]
        for weather, row in record["driving"].items()
    ]
    speeds = table([f"frames/s at {width}x{height}", "RGB", "RGB and tags"], rows)
    written = record["frame_set"]
    return (
        f"{speeds}\n\nA training set of 5,000 frames of 640x480, rendered and written: "
        f"{figure(written['minutes_for_5000'], 1)} minutes (from {written['frames']} frames).\n\n"
        f"{record['display']}, on {_machine(record)}."
    )


def _scores(row: Record) -> str:
    if "ego_lane_found" in row:
        return f"{figure(row['ego_lane_found'], 1)} % of the lane found"
    road, marking = row["iou"].get("road"), row["iou"].get("lane_marking")
    parts = [f"road {figure(road, 1)}"] if road is not None else []
    if marking is not None:
        contour = figure(row["boundary_f1"].get("lane_marking"), 1)
        parts.append(f"marking {figure(marking, 1)}, F1 {contour}")
    return "; ".join(parts)


def _footprint(record: Record) -> str:
    rows = [["`import edge_seg`", figure(record["import_edge_seg_s"], 3) + " s"]]
    for name in (UNET, DEEPLAB):
        row = record[name]
        rows += [
            [f"`edge-seg pack`, {name}, nothing cached", figure(row["pack_cold_s"], 0) + " s"],
            ["the same again, ranges and files cached", figure(row["pack_cached_s"], 0) + " s"],
            ["peak memory of running it", figure(row["run_rss_bytes"] / 1e6, 0) + " MB"],
        ]
    return table(["", ""], rows)
