import { describe, expect, it } from 'vitest'
import { Counter, Gauge, Histogram, MetricRegistry } from './registry.ts'

describe('metrics as text', () => {
  it('of a counter, a gauge and a histogram', async () => {
    const registry = new MetricRegistry()
    const requests = registry.add(
      new Counter({ name: 'requests_total', help: 'Requests.', labels: ['route'] }),
    )
    const running = registry.add(new Gauge({ name: 'running', help: 'Running.' }))
    const seconds = registry.add(
      new Histogram({ name: 'seconds', help: 'Seconds.', bounds: [0.5, 1] }),
    )
    requests.add(2, { route: '/a' })
    running.set(3)
    for (const value of [0.25, 0.5, 0.75, 2]) seconds.observe(value)
    expect(await registry.format()).toBe(`# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{route="/a"} 2
# HELP running Running.
# TYPE running gauge
running 3
# HELP seconds Seconds.
# TYPE seconds histogram
seconds_bucket{le="0.5"} 2
seconds_bucket{le="1"} 3
seconds_bucket{le="+Inf"} 4
seconds_sum 3.5
seconds_count 4
`)
  })
  it('escapes labels, so that a name cannot forge a line', () => {
    const counter = new Counter({ name: 'x_total', help: 'X.', labels: ['expert'] })
    counter.add(1, { expert: 'a"} 1\nfake_total 99\\' })
    const lines = counter.format()
    expect(lines).toHaveLength(3)
    expect(lines[2]).toBe('x_total{expert="a\\"} 1\\nfake_total 99\\\\"} 1')
  })
  it('shows 0 before anything happened, where there are no labels', () => {
    expect(new Counter({ name: 'x_total', help: 'X.' }).format()).toContain('x_total 0')
    expect(new Counter({ name: 'x_total', help: 'X.', labels: ['a'] }).format()).toEqual([])
  })
  it('removes the series of a label value', async () => {
    const registry = new MetricRegistry()
    const counter = registry.add(new Counter({ name: 'x_total', help: 'X.', labels: ['expert'] }))
    counter.add(1, { expert: 'a' })
    counter.add(1, { expert: 'b' })
    registry.removeSeries('expert', 'a')
    expect(await registry.format()).not.toContain('expert="a"')
    expect(await registry.format()).toContain('expert="b"')
  })
  it('asks collectors first', async () => {
    const registry = new MetricRegistry()
    const gauge = registry.add(new Gauge({ name: 'g', help: 'G.' }))
    registry.collectWith(async () => gauge.set(7))
    expect(await registry.format()).toContain('g 7')
  })
  it('refuses two metrics of one name', () => {
    const registry = new MetricRegistry()
    registry.add(new Gauge({ name: 'g', help: 'G.' }))
    expect(() => registry.add(new Gauge({ name: 'g', help: 'G.' }))).toThrow('internal')
  })
})
