// Normalised Cypher queries: which differences count and which do not.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { cypherMatch, normalizeCypher } from './cypher-match.ts'

const wanted = `MATCH (m:Movie)<-[r:RATED]-(u:User {name: 'Ann'})
WHERE m.runtime > 120 AND r.rating >= 4.0
RETURN m.title AS title, count(r) AS ratings ORDER BY ratings DESC LIMIT 5`
const score = (answer: string, right = wanted): number =>
  (cypherMatch.score({ row: {}, wanted: right, answer }) as { value: number }).value

describe('cypher-match', () => {
  it.each([
    ['white space and a semicolon', `${wanted.replaceAll('\n', '   ')} ;`, 1],
    ['comments', `// films\n${wanted} /* five */`, 1],
    [
      'case of keywords and functions',
      wanted.replace('MATCH', 'match').replace('count', 'COUNT'),
      1,
    ],
    ['a Markdown fence', `\`\`\`cypher\n${wanted}\n\`\`\``, 1],
    ['names of variables', wanted.replaceAll(/\bm\b/g, 'film').replaceAll(/\bu\b/g, 'who'), 1],
    ['names of columns', wanted.replaceAll('ratings', 'n').replace('AS title', 'AS t'), 1],
    ['quotes and numbers', wanted.replace("'Ann'", '"Ann"').replace('4.0', '4'), 1],
    ['quoted names', wanted.replace(':Movie', ':`Movie`'), 1],
    ['case of a label', wanted.replace(':Movie', ':movie'), 0],
    ['case of a property', wanted.replace('runtime', 'Runtime'), 0],
    ['case of a text', wanted.replace('Ann', 'ann'), 0],
    ['another direction', wanted.replace('<-[', '-[').replace(']-(', ']->('), 0],
    ['another number', wanted.replace('LIMIT 5', 'LIMIT 50'), 0],
    ['variables that are exchanged', wanted.replace('RETURN m.title', 'RETURN u.title'), 0],
    ['no Cypher', 'the five best films', 0],
  ])('of %s', (_, answer, expected) => expect(score(answer)).toBe(expected))

  it('takes a key of a map for what it is, though a variable has its name', () => {
    const one = "MATCH (name:Person {name: 'A'}) RETURN name.name"
    expect(score("MATCH (p:Person {name: 'A'}) RETURN p.name", one)).toBe(1)
    expect(score("MATCH (p:Person {p: 'A'}) RETURN p.name", one)).toBe(0)
  })

  it('does not take the argument of a function for a variable that it binds', () => {
    expect(normalizeCypher('RETURN count(x)')).toBe('RETURN COUNT ( X )')
    expect(normalizeCypher('MATCH (x) RETURN count(x)')).toBe('MATCH ( $v1 ) RETURN COUNT ( $v1 )')
  })
})

const file = join(import.meta.dirname, '../../../../shared/data/text2cypher/claudeopus.jsonl')
describe.skipIf(!existsSync(file))(
  'queries of text2cypher [skip: the data set is not here]',
  () => {
    it('match themselves in another spelling, and no query of another question', () => {
      const rows = readFileSync(file, 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as { cypher: string })
        .slice(0, 1500)
      // a comment ends with its line
      const judged = rows.filter(({ cypher }) => !cypher.includes('//'))
      const missed = judged.filter(
        ({ cypher }) => score(`${cypher.replaceAll('\n', ' ')};`, cypher) === 0,
      )
      expect(missed).toEqual([])
      const distinct = new Set(rows.map(({ cypher }) => normalizeCypher(cypher))).size
      expect(distinct).toBeGreaterThan(rows.length * 0.7)
    })
  },
)
