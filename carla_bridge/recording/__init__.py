"""The recorder: labelled frames from any CARLA server, spread over what a car will see.

    with Session.connect() as session:
        record(session, request, Path("my_set"))      # carla_bridge.recording.recorder

What is taken, and where, is a plan drawn from the seed (`plan`, `places`, `staging`); what has
been taken is on disk at once (`journal`), so that a recording which was killed goes on.
"""
