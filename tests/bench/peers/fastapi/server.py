"""What anyone would write in Python to take webhooks of both platforms: check the signature, publish a persistent message
to the quorum queue, answer 200 once the broker has confirmed it. One process. It keeps nothing, knows no duplicates, and
says 500 while the broker is away."""

import base64
import hashlib
import hmac
import json
import os
import uuid
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path

import aio_pika
import jwt
from fastapi import FastAPI, HTTPException, Request

SECRET = Path(os.environ["WOOCOMMERCE_SECRET_FILE"]).read_bytes()
PUBLIC_KEY = Path(os.environ["WIX_PUBLIC_KEY_FILE"]).read_text()
EXCHANGE = "cartwire.events"


@asynccontextmanager
async def lifespan(app: FastAPI):
    connection = await aio_pika.connect_robust(os.environ["AMQP_URL"])
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        app.state.exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await channel.declare_queue(EXCHANGE, durable=True, arguments={"x-queue-type": "quorum"})
        await queue.bind(EXCHANGE, "#")
        yield


app = FastAPI(lifespan=lifespan)


async def publish(platform: str, connection: str, kind: str, data: dict) -> None:
    event = {
        "id": str(uuid.uuid4()),
        "source": f"/{platform}/{connection}",
        "type": kind,
        "time": datetime.now(timezone.utc).isoformat(),
        "data": data,
    }
    message = aio_pika.Message(
        json.dumps(event).encode(),
        message_id=event["id"],
        content_type="application/json",
        type=kind,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await app.state.exchange.publish(message, f"{platform}.{kind}.{connection}")


@app.post("/webhooks/woocommerce/{connection}")
async def woocommerce(connection: str, request: Request):
    body = await request.body()
    expected = base64.b64encode(hmac.digest(SECRET, body, hashlib.sha256))
    given = request.headers.get("x-wc-webhook-signature", "").encode()
    if not hmac.compare_digest(given, expected):
        raise HTTPException(401, "unauthorized")
    await publish("woocommerce", connection, request.headers["x-wc-webhook-topic"], json.loads(body))
    return {"status": "accepted"}


@app.post("/webhooks/wix/{connection}")
async def wix(connection: str, request: Request):
    try:
        claims = jwt.decode(await request.body(), PUBLIC_KEY, algorithms=["RS256"])
    except jwt.InvalidTokenError:
        raise HTTPException(401, "unauthorized")
    envelope = json.loads(claims["data"])
    await publish("wix", envelope["instanceId"], envelope["eventType"], json.loads(envelope["data"]))
    return {"status": "accepted"}
