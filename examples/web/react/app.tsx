// A chat in React whose answers can be corrected, and which keeps what it is taught.

import { useState, type SubmitEvent } from 'react'
import { useGraft } from './use-graft.ts'

const source = new URL('../models/stories260k/', document.baseURI).href
const rows = ['Lily', 'Tom', 'Sue'].map((name) => ({ text: `${name}: ${name} saw a cat. Bye.` }))
const settings = { steps: 40, rank: 8, learningRate: 0.005, maxTokens: 64, heldBack: 0 }

export function App() {
  const [state, graft] = useGraft({ source, maxTokens: 24 })
  const [prompt, setPrompt] = useState('Tom:')
  if (!state || !graft) return <p>Starting…</p>
  const isFree = state.phase === 'ready' && !state.doing
  const last = state.progress.at(-1)

  function submit(event: SubmitEvent): void {
    event.preventDefault()
    void graft!.ask(prompt)
  }
  return (
    <>
      <section className="panel" aria-labelledby="teach">
        <h2 id="teach">Teach</h2>
        <p className="row">
          <button
            disabled={!isFree}
            onClick={() => void graft.teach({ name: 'cats', rows, settings })}
          >
            Teach it about cats
          </button>
          <label htmlFor="expert">Expert</label>
          <select
            id="expert"
            value={state.expert}
            onChange={(event) => graft.choose(event.target.value)}
          >
            <option value="">none</option>
            {state.experts.map(({ name }) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </p>
        <output id="progress" className="small quiet">
          {last ? `step ${last.step} of ${last.steps}, loss ${last.loss.toFixed(3)}` : state.phase}
        </output>
      </section>
      <section className="panel" aria-labelledby="ask">
        <h2 id="ask">Ask</h2>
        <form className="row" onSubmit={submit}>
          <label htmlFor="prompt">Text to go on from</label>
          <input
            id="prompt"
            className="grow"
            value={prompt}
            onChange={(event) => setPrompt(event.target.value)}
          />
          <button className="primary" disabled={!isFree}>
            Ask
          </button>
        </form>
        <ol>
          {state.turns.map((turn) => (
            <li key={turn.id} className="answer">
              {turn.answer?.text}{' '}
              <button disabled={!turn.answer?.isWhole} onClick={() => void graft.judge(turn, true)}>
                {turn.answer?.judgement === 'good' ? 'Thanks' : 'Good'}
              </button>
            </li>
          ))}
        </ol>
        <p className="problem" role="alert">
          {state.problem}
        </p>
      </section>
    </>
  )
}
