// Keeps the page, its programs and ONNX Runtime's WebAssembly, so that the chat opens without a
// network. The model is not kept here: loadModel keeps it in the browser's file system. Bundles have
// hashes in their names, so what is kept under a name never changes; pages are asked for anew.

const kept = 'graft-offline-chat-1'

self.addEventListener('install', () => self.skipWaiting())
self.addEventListener('activate', (event) => event.waitUntil(self.clients.claim()))

/** The network first, what was kept where there is none. */
async function fetchFresh(request) {
  const cache = await caches.open(kept)
  try {
    const response = await fetch(request)
    if (response.ok) await cache.put(request, response.clone())
    return response
  } catch (error) {
    const found = await cache.match(request, { ignoreSearch: true })
    if (found) return found
    throw error
  }
}

/** What was kept first, the network for what was not. */
async function fetchKept(request) {
  const cache = await caches.open(kept)
  const found = await cache.match(request)
  if (found) return found
  const response = await fetch(request)
  if (response.ok && response.status === 200) await cache.put(request, response.clone())
  return response
}

self.addEventListener('fetch', (event) => {
  const { request } = event
  const { origin, pathname } = new URL(request.url)
  if (request.method !== 'GET' || origin !== self.location.origin) return
  if (pathname.includes('/models/') || request.headers.has('range')) return
  event.respondWith(/\/assets\//.test(pathname) ? fetchKept(request) : fetchFresh(request))
})

/** A page names what it had loaded before this worker was there. */
self.addEventListener('message', ({ data, ports: [port] }) => {
  const keep = async () => {
    const cache = await caches.open(kept)
    for (const url of data.keep)
      if (!(await cache.match(url))) await cache.add(new Request(url, { cache: 'force-cache' }))
    port.postMessage('kept')
  }
  keep().catch((error) => port.postMessage(String(error)))
})
