// What anyone would write in Node to take webhooks of both platforms: check the signature, publish a persistent message to
// the quorum queue, answer 200 once the broker has confirmed it. One process. It keeps nothing, knows no duplicates, and
// says 500 while the broker is away.

import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto';
import { readFileSync } from 'node:fs';

import amqp from 'amqplib';
import express from 'express';
import jwt from 'jsonwebtoken';

const { PORT, AMQP_URL, WOOCOMMERCE_SECRET_FILE, WIX_PUBLIC_KEY_FILE } = process.env;
const secret = readFileSync(WOOCOMMERCE_SECRET_FILE, 'utf8');
const publicKey = readFileSync(WIX_PUBLIC_KEY_FILE, 'utf8');
const exchange = 'cartwire.events';

const connection = await amqp.connect(AMQP_URL);
const channel = await connection.createConfirmChannel();
await channel.assertExchange(exchange, 'topic', { durable: true });
await channel.assertQueue(exchange, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
await channel.bindQueue(exchange, exchange, '#');

function publish(platform, connection, type, data) {
  const event = { id: randomUUID(), source: `/${platform}/${connection}`, type, time: new Date().toISOString(), data };
  const options = { persistent: true, messageId: event.id, contentType: 'application/json', type };
  return new Promise((resolve, reject) => {
    const body = Buffer.from(JSON.stringify(event));
    channel.publish(exchange, `${platform}.${type}.${connection}`, body, options, (error) => (error ? reject(error) : resolve()));
  });
}

const app = express();

app.post('/webhooks/woocommerce/:connection', express.raw({ type: '*/*', limit: '8mb' }), async (request, response) => {
  const expected = createHmac('sha256', secret).update(request.body).digest();
  const given = Buffer.from(request.get('x-wc-webhook-signature') ?? '', 'base64');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) {
    return response.status(401).json({ error: 'unauthorized' });
  }
  const order = JSON.parse(request.body);
  await publish('woocommerce', request.params.connection, request.get('x-wc-webhook-topic'), order);
  response.json({ status: 'accepted' });
});

app.post('/webhooks/wix/:connection', express.text({ type: '*/*', limit: '8mb' }), async (request, response) => {
  let claims;
  try {
    claims = jwt.verify(request.body, publicKey, { algorithms: ['RS256'] });
  } catch {
    return response.status(401).json({ error: 'unauthorized' });
  }
  const envelope = JSON.parse(claims.data);
  await publish('wix', envelope.instanceId, envelope.eventType, JSON.parse(envelope.data));
  response.json({ status: 'accepted' });
});

app.listen(Number(PORT), '127.0.0.1');
