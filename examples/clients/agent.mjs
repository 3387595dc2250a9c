// An agent with tools at graft serve: the model calls functions until it has what it needs, then it
// answers. In your own folder:
//
//     graft serve smollm2-135m-instruct & npm install openai && node agent.mjs 'What is 17 times 23?'
//
// Arguments fit the tools' schemas whatever the model, because the server constrains the output.

import OpenAI from 'openai'

const { GRAFT_URL: baseURL = 'http://127.0.0.1:8080/v1', GRAFT_MODEL: model = 'base' } = process.env
const client = new OpenAI({ baseURL, apiKey: 'none' })
const question = process.argv[2] ?? 'What is 17 times 23?'
const mostSteps = 4

/** Each tool: its description for the model, and its code. */
const tools = {
  calculate: {
    description: 'Computes a op b.',
    properties: { a: { type: 'integer' }, op: { enum: ['+', '-', '*'] }, b: { type: 'integer' } },
    run: ({ a, op, b }) => (op === '+' ? a + b : op === '-' ? a - b : a * b),
  },
  today: { description: 'The date.', properties: {}, run: () => new Date().toDateString() },
}
const described = Object.entries(tools).map(([name, { description, properties }]) => ({
  type: 'function',
  function: {
    name,
    description,
    parameters: {
      type: 'object',
      properties,
      required: Object.keys(properties),
      additionalProperties: false,
    },
  },
}))

const messages = [{ role: 'user', content: question }]
for (let step = 0; step < mostSteps; step++) {
  const { choices } = await client.chat.completions.create({
    model,
    messages,
    tools: described,
    // The first step must look something up, the last must answer; between them the model decides.
    tool_choice: step === 0 ? 'required' : step === mostSteps - 1 ? 'none' : 'auto',
    parallel_tool_calls: false,
    temperature: 0,
    max_tokens: 100,
  })
  const [{ message }] = choices
  messages.push(message)
  for (const { id, function: called } of message.tool_calls ?? []) {
    const result = tools[called.name].run(JSON.parse(called.arguments))
    console.log(`${called.name}(${called.arguments}) = ${result}`)
    messages.push({ role: 'tool', tool_call_id: id, content: String(result) })
  }
  if (!message.tool_calls?.length) break
}
console.log('answer:', messages.at(-1).content)
