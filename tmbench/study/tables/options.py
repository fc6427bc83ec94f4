"""The schema of conf/cells/NAME.yaml: how a table of cells is read, whatever its columns are called."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from tmbench.errors import ConfigError, unknown
from tmbench.study.validation import explain

COLUMNS: dict[str, str] = {
    "scenario": "the scenario of the row; one Cells is read for each",
    "task": "classification, segmentation, …",
    "source": "the pretrained model",
    "target": "the data set",
    "family": "the family of the candidate, such as its architecture",
    "query_family": "queries of one family, such as class subsets of one data set, are resampled together",
    "query_group": "each group of queries is a scenario of its own",
    "size": "number of parameters of the source",
    "source_accuracy": "accuracy of the source on its own task",
    "test_size": "images in the test set, where the truth is a proportion",
    "recipe": "how the truth was fine-tuned",
    "seed": "seed of the fine-tuning",
    "measure": "what the truth is: accuracy, mean_iou, …",
    "truth": "the transfer performance",
    "level": "where the features were read",
    "metric": "the transferability metric",
    "variant": "a variant of the metric; it is named metric/variant",
    "part": "which part of a pool-relative metric the score is",
    "sample_seed": "seed of the sample that was scored; samples are averaged",
    "implementation": "whose code made the score; it is read as the level LEVEL@IMPLEMENTATION",
    "score": "the score, higher is better",
    "flags": "text; a row whose score is empty and whose flags say 'inapplicable' is not missing but inapplicable",
    "kind": "metric, variant or baseline",
    "value": "the truth in a table of truths, the score in a table of scores",
}
"""The columns that tmbench knows, by the names it gives them; ``columns`` maps them to those of a file."""


class TablePair(BaseModel):
    """Two tidy tables: one of truths and one of scores."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    truths: str
    scores: str


class CellsOption(BaseModel):
    """How a table of cells is read; the option's name is its file's stem.

    Every key but the file has a neutral default. Names of sources, targets and metrics are those of the table, metrics
    after ``rename``; a name that the table does not have is an error.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, coerce_numbers_to_str=True)

    file: str = Field(default="", description="a CSV or Parquet file, or a folder with truths.* and scores.*")
    files: TablePair | None = Field(default=None, description="or two files: truths and scores")
    published: bool = Field(default=False, description="whether they lie in results/published of this installation")
    title: str = ""
    scenario: str = Field(default="", description="its name; with a column 'scenario', the one to read")
    task: str = Field(default="", description="with a column 'task', the one to read")
    direction: Literal["source_selection", "target_selection"] | None = None
    columns: dict[str, str] = Field(default_factory=dict, description="tmbench's name of a column: the file's")
    truths: dict[str, str] = Field(default_factory=dict, description="recipe: the column of its truth (wide)")
    metrics: tuple[str, ...] = Field(default=(), description="the columns that are metrics (wide)")
    truths_only: bool = Field(default=False, description="one table of truths, and no scores to hold against them")
    rename: dict[str, str] = Field(default_factory=dict, description="metric as the table names it: the name here")
    recipe: str = Field(default="default", min_length=1, description="where no column says it")
    level: str = Field(default="default", min_length=1, description="where no column says it")
    measure: str = Field(default="", description="what the truth is; of several in the table, the primary one")
    kinds: dict[str, Literal["metric", "variant", "baseline"]] = Field(default_factory=dict)
    combine: dict[str, str] = Field(default_factory=dict, description="metric that comes in parts: 'module:function'")
    families: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="family: its candidates")
    query_families: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="family: its queries")
    query_groups: dict[str, tuple[str, ...]] = Field(default_factory=dict, description="group: its queries")
    sizes: dict[str, PositiveFloat] = Field(default_factory=dict, description="source: its number of parameters")
    source_accuracy: dict[str, float] = Field(default_factory=dict, description="source: accuracy on its own task")
    test_sizes: dict[str, PositiveInt] = Field(default_factory=dict, description="target: images in its test set")
    random_start: tuple[str, ...] = Field(default=(), description="candidates that are random initialisations")

    @field_validator("metrics", "random_start", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return value if isinstance(value, list | tuple) else (value,)

    @field_validator("families", "query_families", "query_groups", mode="before")
    @classmethod
    def _one_member_is_a_list(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {family: names if isinstance(names, list | tuple) else (names,) for family, names in value.items()}

    @field_validator("columns")
    @classmethod
    def _known_columns(cls, value: dict[str, str]) -> dict[str, str]:
        for name in value:
            if name not in COLUMNS:
                raise ValueError(str(unknown("column", name, COLUMNS)))
        return value

    @field_validator("truths")
    @classmethod
    def _one_place_of_truth(cls, value: dict[str, str], info: ValidationInfo) -> dict[str, str]:
        if value and (column := info.data.get("columns", {}).get("truth")):
            recipe, other = next(iter(value.items()))
            raise ValueError(
                f"columns.truth={column} and truths.{recipe}={other} both say where the truth stands. Keep one: "
                "columns.truth for one recipe, truths.RECIPE=COLUMN for each of several"
            )
        return value

    @field_validator("families", "query_families", "query_groups")
    @classmethod
    def _one_family_each(cls, value: dict[str, tuple[str, ...]], info: ValidationInfo) -> dict[str, tuple[str, ...]]:
        members = [name for names in value.values() for name in names]
        if twice := sorted({name for name in members if members.count(name) > 1}):
            what = "groups" if info.field_name == "query_groups" else "families"
            raise ValueError(f"in two {what}: {', '.join(twice)}")
        return value


def cells_option(reference: str | Sequence[str], settings: Mapping[str, Any] | None = None) -> CellsOption:
    """The option that ``cells=FILE`` and its dotted keys describe on the command line.

    Args:
        reference: a file, a folder with truths.* and scores.*, or the two files [truths, scores].
        settings: keys of :class:`CellsOption`, nested (``{"columns": {"source": "model"}}``) or dotted
            (``{"columns.source": "model"}``).

    Raises:
        ConfigError: for an unknown key, a wrong value, or another number of files than one or two.
    """
    references = [reference] if isinstance(reference, str) else list(reference)
    where = f"cells={references[0] if len(references) == 1 else '[' + ','.join(map(str, references)) + ']'}"
    if len(references) not in (1, 2):
        raise ConfigError(
            f"{where}: {len(references)} files. Give one table, a folder with truths.* and scores.*, or the two tables "
            "[truths.csv,scores.csv]."
        )
    nested: dict[str, Any] = {}
    for key, value in (settings or {}).items():
        # Only the first dot divides: names of models have dots of their own.
        group, _, name = key.partition(".")
        if not name:
            nested[group] = {**nested.get(group, {}), **value} if isinstance(value, Mapping) else value
        elif isinstance(nested.setdefault(group, {}), dict):
            nested[group][name] = value
        else:
            raise ConfigError(f"{where}: '{key}' and '{group}' are both given. Say one of them.")
    for key in ("file", "files", "published"):
        if key in nested:
            raise ConfigError(f"{where}: the key '{key}' belongs into an option file; here {where} names the table.")
    place: dict[str, Any] = {"file": references[0]}
    if len(references) == 2:
        place = {"files": {"truths": references[0], "scores": references[1]}}
    return validated({**place, **nested}, where)


def validated(content: Mapping[str, Any], where: str) -> CellsOption:
    """The option that ``content`` describes.

    Raises:
        ConfigError: that names ``where`` and the key, when the content is wrong.
    """
    try:
        return CellsOption.model_validate(content)
    except ValidationError as error:
        raise explain(error, CellsOption, where) from error
