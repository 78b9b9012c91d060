"""The endpoint in FastAPI and SQLAlchemy, with the ORM."""

import json
import os
import time
import uuid
from datetime import UTC, datetime
from typing import Literal

from fastapi import FastAPI, HTTPException, Request
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import create_engine, select
from sqlalchemy.ext.automap import automap_base
from sqlalchemy.orm import Session

# FastAPI runs 40 requests of a worker concurrently: each gets a connection.
POOL = 40

engine = create_engine(os.environ["DATABASE_URL"].replace("postgres://", "postgresql+psycopg://"), pool_size=POOL)
Base = automap_base()
Base.prepare(autoload_with=engine)
Campaign, Number, History, Run = (
    Base.classes[table] for table in ("campaign", "call_data", "call_data_history", "purge_run")
)
COLUMNS = [column.name for column in Number.__table__.columns]

app = FastAPI()


class Call(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sessionId: str = Field(min_length=1, max_length=32)
    archiveHistory: Literal[1]


@app.post("/rest/isales/v1/openapi/campaigns/{vdn}/calldata/{campaign}/delete")
def delete(vdn: int, campaign: int, call: Call, request: Request):
    now = datetime.now(UTC).replace(tzinfo=None)
    # Ids ordered by time, and different in each worker: no two requests of a worker start in the same microsecond.
    run_id = time.time_ns() & ~1023 | os.getpid() & 1023
    with Session(engine) as session, session.begin():
        state = session.scalar(
            select(Campaign.status).where(Campaign.id == campaign, Campaign.vdn_id == vdn).with_for_update(read=True)
        )
        if state is None or state == 2:
            raise HTTPException(409)
        numbers = session.scalars(
            select(Number)
            .where(Number.campaign_id == campaign, Number.session_id == call.sessionId, Number.status == 0)
            .with_for_update()
        ).all()
        for number in numbers:
            columns = {name: getattr(number, name) for name in COLUMNS}
            session.add(History(**columns, archived_at=now, run_id=run_id))
            session.delete(number)
        count = len(numbers)
        session.add(
            Run(
                id=run_id,
                kind="request",
                actor="bench",
                vdn_id=vdn,
                campaign_id=campaign,
                criteria=json.dumps({"sessionId": call.sessionId}),
                archive_history=True,
                state="succeeded",
                matched=count,
                deleted=count,
                archived=count,
                barred=0,
                barred_call_ongoing=0,
                barred_call_completed=0,
                barred_ongoing_task=0,
                barred_unknown_status=0,
                chunks=1,
                started_at=now,
                heartbeat_at=now,
                finished_at=now,
                result_code="0200000",
                request_id=uuid.uuid4().hex,
                client_address=request.client.host,
                owner="peer",
                restored=0,
                pruned=0,
            )
        )
    return {
        "resultCode": "0200000",
        "resultDesc": "",
        "returnCode": "0200000",
        "returnDesc": "",
        "successCount": count,
    }
