"""A sweep: the experiments of one configuration, resumed where it was cut, its checkpoints kept, its tables written."""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from benchmark.execute.ensembles import drop_maps, judge_all, maps_wanted, sum_latencies
from benchmark.execute.executor import LOCAL, Executor, run_all
from benchmark.execute.latency_session import measure_latencies
from benchmark.log import Sink, send
from benchmark.one_run.kept_networks import Keeper, runs_of
from benchmark.one_run.options import RunOptions
from benchmark.one_run.preparation import backbone_id, named
from benchmark.one_run.shared_fit import fits_together, shared_fits, shared_poolings
from benchmark.plan.ensembles import EnsemblePlan, planned_ensembles
from benchmark.plan.experiment import Experiment
from benchmark.plan.naming import labels
from benchmark.records.canonical_experiment import CanonicalExperiment
from benchmark.records.packed import forget_plans
from benchmark.records.record import Record
from benchmark.records.record_file import RecordError, read_plan
from benchmark.records.run_files import write_json
from benchmark.records.store import Store
from benchmark.records.sweep_plan import PlanEntry, SweepPlan
from benchmark.statistics.requirement import Requirement
from extensions.configuration import ConfigError
from extensions.runtime.progress import progress_bar, say
from extensions.runtime.stages import stages

logger = logging.getLogger(__name__)

FILTERS = ("model", "backbone", "dataset", "category", "seed", "settings")


def run_sweep(
    experiments: Sequence[Experiment],
    output: Path,
    *,
    options: RunOptions,
    keep: str = "best",
    executor: Executor = LOCAL,
    command: str = "",
    config: str = "",
    partial: bool = False,
    sinks: Sequence[Sink] = (),
    ensembles: EnsemblePlan | None = None,
) -> Counter[str]:
    """Run what has no record yet, time the networks together, and return how many runs ended with each status.

    Args:
        experiments: What `benchmark.expand` gave.
        output: Folder of records and tables; several sweeps may share it, also at the same time.
        options: How runs are carried out.
        keep: Which checkpoints stay: `best` (per model, data set and category), `all` or `none`.
        executor: Where runs are carried out.
        command: For the About sheet.
        config: Name of the configuration file, for the About sheet.
        sinks: Loggers that get each finished run, when its latency is known.
        ensembles: Which of the runs are judged together, without another fit; they are not counted unless one fails.
        partial: These are a part of the sweep, so what was asked for before still counts as asked for.
    """
    store = Store(output)
    planned = planned_ensembles(experiments, ensembles)
    everything = [*experiments, *(one.experiment for one in planned)]
    plan = write_plan(
        store, everything, sweep=options.sweep, command=command, config=config, requirement=options.requirement
    )
    if not partial:
        drop_other_plans(plan, sweep=options.sweep)
    bar_per_run = options.progress and executor.kind == "local"
    carried_out = replace(
        options,
        keep_checkpoint=keep != "none",
        timed_later=True,
        progress=bar_per_run,
        layers=shared_layers(experiments),
        shared_fits=shared_fits(experiments),
        poolings=shared_poolings(experiments),
        maps_of=maps_wanted(store, planned, overwrite=options.overwrite),
    )
    told, keeper = settings_told(experiments), Keeper(store, keep, experiments)
    counts: Counter[str] = Counter()
    without_images, folders = 0, []
    bar = progress_bar(
        title=options.sweep or "sweep",
        total=len(experiments),
        unit="run",
        hidden=not options.progress,
        delay=0,
        leave=True,
    )
    # Closed here, so that whatever ends the loop ends the workers too.
    ordered = fits_together(in_order(experiments))
    with bar, closing(run_all(ordered, output, options=carried_out, executor=executor)) as outcomes:
        for experiment, record in outcomes:
            counts[record.status] += 1
            bar.update()
            say(describe(experiment, record, told[experiment.experiment_id]))
            keeper.add(record)
            folders.append(record.folder)
            without_images += record.is_finished and record.files.images == [] and not experiment.augmentations
    if failed := judge_all(store, planned, options=options, progress=options.progress)["failed"]:
        counts["failed"] += failed
    if keep != "all":
        drop_maps(store, folders)
    with stages.stage("timing all networks"):
        measure_latencies(store, experiments, again=options.overwrite == "latency", progress=options.progress)
    sum_latencies(store)
    for run in runs_of(store, everything) if sinks else []:
        send(run.record, sinks=sinks, output=output)
    if options.images and without_images:
        logger.warning("%d runs were there before their images were drawn; --overwrite all draws them", without_images)
    return counts


def in_order(experiments: Sequence[Experiment]) -> list[Experiment]:
    """The experiments as given, but among those that share work the one first that their model's `fit_order` names."""
    groups: dict[str, list[tuple[float, int]]] = {}
    for number, experiment in enumerate(experiments):
        fit_order = getattr(_model_class(experiment), "fit_order", None)
        order = fit_order(experiment.model.get("init_args") or {}) if fit_order is not None else None
        if order is not None:
            told = [experiment.model["class_path"], order.shared, experiment.data, experiment.trainer, experiment.seed]
            groups.setdefault(json.dumps(told, sort_keys=True, default=str), []).append((order.place, number))
    ordered = list(experiments)
    for group in groups.values():
        for (_, number), (_, source) in zip(group, sorted(group), strict=True):
            ordered[number] = experiments[source]
    return ordered


def _model_class(experiment: Experiment) -> type:
    from extensions.configuration.classes import import_class, known_classes, resolve_class_path

    path = resolve_class_path(experiment.model["class_path"], "model")
    found: type = import_class(path, "model", known_classes("model"))
    return found


def shared_layers(experiments: Sequence[Experiment]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """For each frozen backbone of the sweep, by `backbone_id`, the layers that any of its models looks at."""
    from extensions.models.common.backbone_mixin import BackboneMixin

    layers: dict[str, set[str]] = {}
    for experiment in experiments:
        model = _model_class(experiment)
        if not issubclass(model, BackboneMixin):
            continue
        arguments = experiment.model.get("init_args") or {}
        try:
            asked = model._resolve_layers(experiment.backbone, arguments.get("layers"))
        except ValueError:  # the run itself will say so
            continue
        layers.setdefault(backbone_id(experiment), set()).update(asked)
    return tuple((name, tuple(sorted(found))) for name, found in layers.items())


def select(experiments: Sequence[Experiment], filters: Mapping[str, Sequence[str]]) -> list[Experiment]:
    """Experiments for which every filter holds; `settings` matches a part, the others the whole, upper case or not.

    Args:
        experiments: To choose from.
        filters: By key, the values of which any may be met.

    Raises:
        ConfigError: An unknown filter, a value that none of the experiments has, or nothing is left.
    """
    for name, values in filters.items():
        if name not in FILTERS:
            msg = f"--filter: unknown key {name!r}, expected one of {', '.join(FILTERS)}"
            raise ConfigError(msg)
        unmet = [value for value in values if not any(_matches(e, name, value) for e in experiments)]
        if unmet:
            asked = ", ".join(f"{name}={value}" for value in unmet)
            msg = f"--filter {asked} leaves no experiment ({_values_of(name, experiments)})"
            raise ConfigError(msg)
    chosen = [
        e
        for e in experiments
        if all(any(_matches(e, name, value) for value in values) for name, values in filters.items())
    ]
    if not chosen:
        asked = " ".join(f"{name}={value}" for name, values in filters.items() for value in values)
        known = "; ".join(_values_of(name, experiments) for name in filters)
        msg = f"--filter {asked} leaves no experiment, though each of them meets some ({known})"
        raise ConfigError(msg)
    return chosen


def write_plan(
    store: Store,
    experiments: Sequence[Experiment],
    *,
    sweep: str,
    command: str,
    config: str,
    requirement: Requirement | None = None,
) -> Path:
    """Write down what was asked for, so that the tables can show what never ran as a gap."""
    plan = SweepPlan(sweep=sweep, command=command, config=config, experiments=[_entry(one) for one in experiments])
    if requirement is not None:
        plan = plan.model_copy(update={"requirement": requirement.on_disk})
    content = plan.on_disk()
    name = hashlib.sha256(json.dumps(content["experiments"], sort_keys=True).encode()).hexdigest()[:12]
    path = store.output / "plans" / f"{sweep or 'sweep'}-{name}.json"
    write_json(path, content)
    return path


def drop_other_plans(plan: Path, *, sweep: str) -> None:
    """Forget earlier plans of the same sweep: what a changed configuration no longer asks for is no gap."""
    forget_plans(plan.parent.parent, sweep=sweep)
    for path in plan.parent.glob("*.json"):
        with suppress(RecordError):  # the tables name it
            if path != plan and read_plan(path).sweep == sweep:
                path.unlink(missing_ok=True)


def settings_told(experiments: Sequence[Experiment]) -> dict[str, str]:
    """By id, the settings of each experiment with what tells it from those of the sweep that would read the same."""
    seen = [(one.model_name, one.backbone, *named(one)) for one in experiments]
    canonical = [one.canonical for one in experiments]
    told = labels([one.settings for one in experiments], canonical, alike=seen)
    return {one.experiment_id: text for one, text in zip(experiments, told, strict=True)}


def describe(experiment: Experiment, record: Record, settings: str | None = None) -> str:
    """One line about a run that ended.

    Args:
        experiment: What was run.
        record: What came of it.
        settings: Of `settings_told`; those of the experiment alone when None.
    """
    dataset = record.dataset
    detector = " ".join(filter(None, (experiment.model_name, experiment.backbone)))
    told = experiment.settings if settings is None else settings
    size = "" if "image_size=" in told else "x".join(map(str, dict.fromkeys(dataset.image_size)))
    parts = [
        f"{detector} on {dataset.label}",
        f"{size} px" if size else "",
        told,
        f"k_shot={dataset.k_shot}" if dataset.k_shot and "k_shot=" not in told else "",
    ]
    what = f"{', '.join(filter(None, parts))}, seed {experiment.seed}"
    if record.error is not None:
        return f"{record.status:8} {what}: {record.error.message}"
    measured = [(name, record.metrics[name]) for name in ("image_AUROC", "pixel_AUROC")]
    shown = [f"{name} {value:.4f}" for name, value in measured if value is not None]
    shown += [dataset.lack] if dataset.lack else []
    if record.refinement:
        last, of = record.refinement.rounds[-1], record.refinement.rounds[0].n_train
        s = "" if last.round == 1 else "s"
        shown.append(f"{last.n_removed} of {of} training images removed in {last.round} round{s}")
    return f"finished {what}: {', '.join([*shown, f'{record.seconds or 0:.0f} s'])}"


def _entry(experiment: Experiment) -> PlanEntry:
    dataset, category = named(experiment)
    return PlanEntry(
        model=experiment.model_name,
        backbone=experiment.backbone,
        settings=experiment.settings,
        dataset=dataset,
        category=category,
        seed=experiment.seed,
        experiment_id=experiment.experiment_id,
        experiment=CanonicalExperiment.model_validate(experiment.canonical),
    )


def _fact(experiment: Experiment, name: str) -> str:
    """What a filter of this name is held against."""
    dataset, category = named(experiment)
    return {
        "model": experiment.model_name,
        "backbone": experiment.backbone,
        "settings": experiment.settings,
        "dataset": dataset,
        "category": category,
        "seed": str(experiment.seed),
    }[name]


def _values_of(name: str, experiments: Sequence[Experiment]) -> str:
    return f"{name}: {', '.join(sorted({_fact(e, name) or 'none' for e in experiments}))}"


def _matches(experiment: Experiment, name: str, value: str) -> bool:
    fact, asked = (text.lower() for text in (_fact(experiment, name), value))
    if name == "settings":
        return asked in fact
    # Data sets are named by their class before they are opened: ElpvSynthetic, in the tables elpv_synthetic.
    return asked == fact or (name == "dataset" and asked.replace("_", "") == fact)
