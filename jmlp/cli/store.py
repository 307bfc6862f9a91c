"""`jmlp store`: checks the store of runs, rebuilds its database, and prints its path."""

from jmlp.cli.output import Output
from jmlp.cli.store_option import StoreOption
from jmlp.errors import StoreError
from jmlp.system.streams import shown


def check(
    *,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Compare the database, files and checkpoints with each other, down to the last bit."""
    from jmlp.store.rebuild import check as find_problems

    folder = store.folder()
    problems = find_problems(folder)
    if out.json:
        out.print_json(
            [{"path": str(p.path), "what": p.what, "remedy": p.remedy} for p in problems]
        )
    else:
        for problem in problems:
            print(shown(f"{problem.path}: {problem.what}; {problem.remedy}"))
    if problems:
        raise StoreError(
            f"{folder}: 1 problem" if len(problems) == 1 else f"{folder}: {len(problems)} problems"
        )
    out.say(f"{folder}: no problems")


def rebuild(
    *,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Rebuild the database from the files of runs and the checkpoints."""
    from jmlp.store.rebuild import rebuild as rebuild_database

    rebuilt = rebuild_database(store.folder())
    if out.json:
        moved = None if rebuilt.moved is None else str(rebuilt.moved)
        out.print_json(
            {
                "runs": rebuilt.n_runs,
                "checkpoints": rebuilt.n_checkpoints,
                "refused": list(rebuilt.refused),
                "moved": moved,
            }
        )
        return
    for refused in rebuilt.refused:
        print(shown(f"left out: {refused}"))
    if rebuilt.moved is not None:
        print(shown(f"previous database: {rebuilt.moved}"))
    print(f"completed runs: {rebuilt.n_runs}; cohorts in training: {rebuilt.n_checkpoints}")


def path(
    *,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Print the folder of stored runs, whether it exists or not."""
    from jmlp.system.files import is_there

    folder = store.folder()
    if out.json:
        out.print_json({"path": str(folder), "exists": is_there(folder)})
    else:
        print(folder)
