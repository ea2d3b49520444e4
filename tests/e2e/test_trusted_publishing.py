"""A CI job publishes into a private namespace without a secret that anybody stored."""

import os
import subprocess

from support.backends import environment_of
from support.oidc_issuer import oidc_issuer
from support.registry_server import COMMAND, running_registry
from support.safegene_command import command_for
from support.scripted_server import json_reply, scripted_server
from support.versions import write_version


def test_a_job_of_github_actions_publishes_what_members_pull(tmp_path, parts):
    """The job's identity is all it has; strangers are told that there is nothing."""
    with oidc_issuer() as issuer:
        environment = {
            **environment_of(parts),
            "SAFEGENE_REGISTRY_OIDC_ISSUERS": issuer.url,
            "SAFEGENE_REGISTRY_OIDC_ALLOW_LOOPBACK": "true",
        }

        signed = []

        def github(got):
            """Signs for the audience that it is asked for, as GitHub does."""
            assert got.headers["authorization"] == "Bearer of-the-job"
            claims = issuer.claims(aud=got.query["audience"])
            signed.append(issuer.sign(claims))
            return json_reply({"value": signed[-1]})

        with (
            scripted_server(github) as actions,
            running_registry(tmp_path, environment=environment) as server,
        ):

            def operator(*arguments):
                return subprocess.run(
                    [*COMMAND, *arguments, "--data", server.data],
                    env={**os.environ, **environment},
                    check=True,
                    capture_output=True,
                    text=True,
                    timeout=240,
                ).stdout.strip()

            ann = operator("token", "create", "--name", "ann", "--scope", "read")
            operator("namespace", "create", "vault", "--owner", "ann", "--private")
            operator(
                *("publisher", "add", "vault", "release", "--issuer", issuer.url),
                *("--claim", "repository=acme/vectors"),
                *("--claim", "environment=release"),
            )
            write_version(tmp_path / "work" / "version", vector="vault/guard")
            job = command_for(tmp_path / "work", server.url, "").having(
                ACTIONS_ID_TOKEN_REQUEST_URL=f"{actions.url}/token?api-version=2.0",
                ACTIONS_ID_TOKEN_REQUEST_TOKEN="of-the-job",
            )

            exchanged = job.run("exchange", "vault")
            pushed = job.having(SAFEGENE_TOKEN=exchanged.out.strip()).run(
                "push", "version"
            )
            # As somebody who has read it in the job's log would.
            replayed = command_for(tmp_path / "r", server.url, "").having(
                SAFEGENE_OIDC_TOKEN=signed[0]
            )
            again = replayed.run("exchange", "vault")
            stranger = command_for(tmp_path / "b", server.url, server.token)
            refused = stranger.run("pull", "vault/guard")
            pulled = command_for(tmp_path / "c", server.url, ann).run(
                "pull", "vault/guard"
            )

    assert (exchanged.code, exchanged.err) == (0, "")
    assert exchanged.out.startswith("sgt_")
    assert pushed.code == 0, pushed.err
    assert (again.code, again.out) == (4, "")
    assert "was exchanged before" in again.err
    assert (refused.code, refused.out) == (3, "")
    assert "There is no vector vault/guard" in refused.err
    assert pulled.code == 0, pulled.err
