'use client'

import dynamic from 'next/dynamic'

// The model runs in the browser alone: graftlm/web does not resolve on the server.
const Expert = dynamic(() => import('./expert.jsx'), { ssr: false })

export default function Page() {
  return (
    <main>
      <h1>Graft in Next.js</h1>
      <Expert />
    </main>
  )
}
