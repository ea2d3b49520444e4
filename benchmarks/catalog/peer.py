"""The same search in MLflow's model registry, on the same PostgreSQL.

A vector is a registered model, its facts are tags, and each version a model version.
Rows are loaded in bulk; MLflow makes its tables itself.
"""

from urllib.parse import quote

import psycopg

from benchmarks.catalog.asking import FACETS, LIMIT
from benchmarks.catalog.contents import LICENSES, RANKS, Catalog

SEARCH = "/api/2.0/mlflow/registered-models/search"
TAGS = ("family", "license", "rank")
WANTED = ("llama", LICENSES[0], str(RANKS[0]))
OURS = f"/v1/vectors?{FACETS}&limit={LIMIT}"


def theirs() -> str:
    """The search, as MLflow's own client asks it."""
    terms = [f"tags.{tag} = '{value}'" for tag, value in zip(TAGS, WANTED, strict=True)]
    return f"{SEARCH}?max_results={LIMIT}&filter={quote(' AND '.join(terms))}"


def fill_mlflow(url: str, versions: int) -> None:
    """COPY the vectors and versions of a catalog into MLflow's tables."""
    rows = list(Catalog(versions).rows())
    heads = [row for table, row in rows if table == "heads"]
    names = {row[0]: f"{row[6]}.{row[7]}" for row in heads}
    with psycopg.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE registered_models CASCADE")
        with cursor.copy(
            "COPY registered_models (name, creation_time, last_updated_time,"
            " description) FROM STDIN"
        ) as copy:
            for row in heads:
                copy.write_row((names[row[0]], 1, 1, f"Keeps {row[7]} from harm."))
        with cursor.copy(
            "COPY registered_model_tags (name, key, value) FROM STDIN"
        ) as copy:
            for row in heads:
                for tag, value in zip(TAGS, (row[8], row[11], row[12]), strict=True):
                    copy.write_row((names[row[0]], tag, str(value)))
        with cursor.copy(
            "COPY model_versions (name, version, creation_time, last_updated_time,"
            " current_stage, source, status) FROM STDIN"
        ) as copy:
            numbers: dict[str, int] = {}
            for table, row in rows:
                if table == "versions":
                    name = names[row[1]]
                    numbers[name] = numbers.get(name, 0) + 1
                    copy.write_row(
                        (name, numbers[name], 1, 1, "None", "s3://bench", "READY")
                    )
        connection.commit()
        connection.autocommit = True
        cursor.execute("VACUUM ANALYZE")
