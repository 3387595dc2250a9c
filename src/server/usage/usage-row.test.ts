import { describe, expect, it } from 'vitest'
import { createUsageRow } from '../state/server-state.contract.ts'
import { UsageLedger } from './usage-ledger.ts'
import { createMemoryState } from '../state/memory-state.ts'
import { formatUsageCsv } from './usage-row.ts'

describe('usage as CSV', () => {
  it('has a header and a line for each row', () =>
    expect(formatUsageCsv([createUsageRow()])).toBe(
      'day,key,expert,user,requests,failed,prompt_tokens,cached_tokens,completion_tokens\r\n' +
        '2026-11-30,ci,coder,ada,1,0,10,4,5\r\n',
    ))
  it.each([
    ['a,b', '"a,b"'],
    ['a"b', '"a""b"'],
    ['a\nb', '"a\nb"'],
    ['=1+1', "'=1+1"],
    ['@sum(a)', "'@sum(a)"],
    ['-1', "'-1"],
    ['+1,2', `"'+1,2"`],
    ['\tx', "'\tx"],
    ['Ådå', 'Ådå'],
  ])('writes the user %j as %s', (user, cell) =>
    expect(formatUsageCsv([createUsageRow({ user })]).split('\r\n')[1]).toBe(
      `2026-11-30,ci,coder,${cell},1,0,10,4,5`,
    ),
  )
})

describe('a ledger', () => {
  it('writes requests that end together in one go', async () => {
    const { usage } = createMemoryState()
    let writes = 0
    const store = Object.assign({}, usage, {
      add: (rows: Parameters<typeof usage.add>[0]) => (writes++, usage.add(rows)),
    })
    const ledger = new UsageLedger({ store })
    for (let i = 0; i < 100; i++) ledger.add(createUsageRow())
    await ledger.flush()
    expect(writes).toBeLessThanOrEqual(2)
    expect((await usage.list())[0]!.requests).toBe(100)
    expect(ledger.pendingRows).toBe(0)
  })
})
