// The long tests, part by part: `npm run test:long` runs all parts, `-- --only NAME` those that are
// named, `-- --list` lists them with their times. Options such as `--minutes 5` change how long a
// part takes. Ends with the table and the counts of check.mjs.
import { parseArgs } from 'node:util'
import { longestMinutes, longParts } from './long-parts.mjs'
import { installTools, printSummary, runNamed, runTests } from './test-runs.mjs'

const settings = Object.assign({}, ...Object.values(longParts).map((part) => part.settings ?? {}))

function printList() {
  const width = Math.max(...Object.keys(longParts).map((name) => name.length)) + 2
  for (const [name, { about, minutes, settings: own = {} }] of Object.entries(longParts)) {
    const options = Object.keys(own).map((option) => `  [${option} N]`)
    console.log(
      `${name.padEnd(width)}${String(minutes).padStart(3)} min  ${about}${options.join('')}`,
    )
  }
  const sum = Object.values(longParts).reduce((total, { minutes }) => total + minutes, 0)
  console.log(`${'all'.padEnd(width)}${String(sum).padStart(3)} min  on two idle cores, about`)
}

const runPart = async ({ files, needs }, environment) =>
  (needs ? await installTools(needs) : undefined) ??
  runTests(files, { environment: { GRAFT_LONG: '1', ...environment }, minutes: longestMinutes })

/** The options of the command line; throws an Error with the reason. */
function readOptions(args) {
  const options = Object.fromEntries(
    Object.keys(settings).map((option) => [option.slice(2), { type: 'string' }]),
  )
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: Object.assign(options, {
      only: { type: 'string', multiple: true },
      list: { type: 'boolean' },
    }),
  })
  if (positionals.length > 0)
    throw new Error(`${positionals[0]}: parts are named with --only ${positionals[0]}`)
  const named = (values.only ?? []).flatMap((names) => names.split(','))
  const unknown = named.filter((name) => !(name in longParts))
  if (unknown.length > 0)
    throw new Error(
      `no part named ${unknown.join(', ')}; there are: ${Object.keys(longParts).join(', ')}`,
    )
  const names = named.length > 0 ? named : Object.keys(longParts)
  const environment = {}
  for (const [option, variable] of Object.entries(settings)) {
    const value = values[option.slice(2)]
    if (value === undefined) continue
    if (!(Number(value) > 0))
      throw new Error(`${option}: got "${value}", expected a number above 0`)
    if (!names.some((name) => option in (longParts[name].settings ?? {})))
      throw new Error(`${option} changes nothing in the parts ${names.join(', ')}`)
    environment[variable] = value
  }
  return { names, environment, lists: values.list === true }
}

async function main(args) {
  let options
  try {
    options = readOptions(args)
  } catch (error) {
    console.error(`test:long: ${error.message}`)
    return 2
  }
  if (options.lists) {
    printList()
    return 0
  }
  const results = []
  for (const name of options.names)
    results.push(await runNamed(name, () => runPart(longParts[name], options.environment)))
  return printSummary(results, 'part') === 0 ? 0 : 1
}

process.exitCode = await main(process.argv.slice(2))
