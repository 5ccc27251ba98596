// sharp as a peer of benches/peers, two ways: `loop` does a job for every line of standard input and
// answers with a line; `serve FOLDER` is the smallest HTTP server that could be called an image
// service: /name?job=JSON over the files of a folder. One thread, nothing cached.
'use strict'
const http = require('node:http')
const path = require('node:path')
const fs = require('node:fs')
const readline = require('node:readline')
const sharp = require('sharp')

sharp.concurrency(1)
sharp.cache(false)

const open = (input) => sharp(input, { limitInputPixels: false }).autoOrient()
const sized = (image, job) =>
  image.resize({ width: job.width, withoutEnlargement: true }).toFormat(job.format, job.options || {})

// `one`: a picture. `separate`: every variant is a pipeline of its own, as behind as many URLs.
// `clone`: clones of one pipeline, as the manual shows. `raw`: decoded and shrunk to the widest
// once, by hand, the others from those pixels.
async function perform (job) {
  if (!job.variants) return [await sized(open(job.input), job).toBuffer()]
  if (job.how === 'separate') {
    const results = []
    for (const variant of job.variants) results.push(await sized(open(job.input), variant).toBuffer())
    return results
  }
  if (job.how === 'clone') {
    const base = open(job.input)
    return Promise.all(job.variants.map((variant) => sized(base.clone(), variant).toBuffer()))
  }
  const width = Math.max(...job.variants.map((variant) => variant.width))
  const { data, info } = await open(job.input).resize({ width, withoutEnlargement: true }).raw().toBuffer({ resolveWithObject: true })
  const raw = { width: info.width, height: info.height, channels: info.channels }
  const results = []
  for (const variant of job.variants) results.push(await sized(sharp(data, { raw }), variant).toBuffer())
  return results
}

async function loop () {
  console.log(`ready ${JSON.stringify(sharp.versions)}`)
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const job = JSON.parse(line)
    try {
      const results = await perform(job)
      if (job.out) results.forEach((data, index) => fs.writeFileSync(`${job.out}.${index}`, data))
      console.log(`done ${results.map((data) => data.length).join(' ')}`)
    } catch (error) {
      console.log(`failed ${String(error.message).split('\n')[0]}`)
    }
  }
}

function serve (folder) {
  const server = http.createServer(async (request, response) => {
    const url = new URL(request.url, 'http://localhost')
    try {
      const job = JSON.parse(url.searchParams.get('job'))
      job.input = path.join(folder, path.normalize(decodeURIComponent(url.pathname)))
      const [data] = await perform(job)
      response.writeHead(200, { 'Content-Type': `image/${job.format}`, 'Content-Length': data.length })
      response.end(data)
    } catch (error) {
      response.writeHead(500, { 'Content-Type': 'text/plain' })
      response.end(String(error.message))
    }
  })
  server.keepAliveTimeout = 600000
  server.listen(0, '127.0.0.1', () => console.log(`listening on 127.0.0.1:${server.address().port}`))
}

if (process.argv[2] === 'serve') serve(process.argv[3])
else loop()
