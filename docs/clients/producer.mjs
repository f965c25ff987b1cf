// Sends articles to Newsflow, JSON lines on standard input: kafkajs.
// Stops at the first article that Kafka does not confirm, with the reason and exit status 1.
import kafkajs from 'kafkajs'

const { KAFKA_BOOTSTRAP_SERVERS, ARTICLES_RAW_TOPIC = 'articles-raw' } = process.env
// Its own log says nothing that the reason below does not.
const kafka = new kafkajs.Kafka({
  brokers: KAFKA_BOOTSTRAP_SERVERS.split(','),
  logLevel: kafkajs.logLevel.NOTHING,
})
const producer = kafka.producer({
  idempotent: true,
  maxInFlightRequests: 1,
  createPartitioner: kafkajs.Partitioners.DefaultPartitioner,
})
let key = null

async function send(line) {
  const article = JSON.parse(line)
  key = article.id ?? article.url ?? null
  await producer.send({ topic: ARTICLES_RAW_TOPIC, acks: -1, messages: [{ key, value: line.trim() }] })
}

try {
  await producer.connect()
  // Not by `readline`: for it U+2028 and U+2029 end a line too, and JSON has them inside of texts.
  let rest = ''
  for await (const part of process.stdin.setEncoding('utf8')) {
    const lines = (rest + part).split('\n')
    rest = lines.pop()
    for (const line of lines) await send(line)
  }
  if (rest) await send(rest)
} catch (error) {
  console.error(`not confirmed: ${key}: ${error.message}`)
  process.exitCode = 1
} finally {
  await producer.disconnect()
}
