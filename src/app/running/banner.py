"""What a person needs to know once everything is ready."""

from __future__ import annotations

from pathlib import Path

from app.embedded.files import read_record


def ready_rows(url: str, data_dir: Path, *, graphiql: bool) -> list[tuple[str, str]]:
    """Labels and values: addresses, the demo's log-ins from DATA_DIR/demo.json where there are any, logs."""
    rows = [("Ready", url), ("GraphQL", f"{url}/graphql")]
    if graphiql:
        rows.append(("GraphiQL", f"{url}/graphiql"))
    rows += [("Health", f"{url}/healthz"), ("Logs", str(data_dir / "logs"))]
    logins = read_record(data_dir / "demo.json").get("logins")
    for login in logins if isinstance(logins, list) else []:
        if isinstance(login, dict) and {"role", "email", "password"} <= login.keys():
            rows.append((f"Demo {login['role']}", f"{login['email']}  {login['password']}"))
    return [*rows, ("Stop", "Ctrl-C")]
