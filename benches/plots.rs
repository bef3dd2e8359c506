//! Draws `benches/figures/*.svg` from the numbers beside them.
//!
//! `cargo run --example plots` writes the plots. With `-- --check` it writes nothing, and fails if
//! a plot differs from its numbers.

use std::error::Error;
use std::fs;
use std::ops::Range;
use std::process::ExitCode;

use plotters::prelude::*;
use serde_json::Value;

type Drawing = Result<String, Box<dyn Error>>;

/// Makes a drawing of rows of numbers.
type Draw = fn(&[Value]) -> Drawing;

const SIZE: (u32, u32) = (760, 420);

const FONT: (&str, u32) = ("sans-serif", 15);

/// Colours that colour-blind readers can distinguish, also in print (Okabe and Ito, 2008).
const COLOURS: [RGBColor; 4] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167)];

/// A line of a plot.
struct Line {
    name: String,
    points: Vec<(f64, f64)>,
    colour: RGBColor,
    /// Draws a thin line: for the server that LOMS is compared with.
    thin: bool,
}

/// An axis of powers of ten.
struct Axis {
    name: &'static str,
    range: Range<f64>,
    label: fn(f64) -> String,
}

fn main() -> ExitCode {
    let check = std::env::args().any(|argument| argument == "--check");
    match plots(check) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("plots: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn plots(check: bool) -> Result<(), Box<dyn Error>> {
    let drawings: [(&str, Draw); 3] = [("curve", curve), ("load", load), ("thin", thin)];
    for (name, draw) in drawings {
        let path =
            |end: &str| format!("{}/benches/figures/{name}.{end}", env!("CARGO_MANIFEST_DIR"));
        let numbers =
            fs::read_to_string(path("json")).map_err(|error| format!("{name}: {error}"))?;
        let rows: Vec<Value> = serde_json::from_str(&numbers)?;
        let drawing = draw(&rows)?;
        if !check {
            fs::write(path("svg"), drawing)?;
        } else if fs::read_to_string(path("svg")).ok() != Some(drawing) {
            return Err(format!(
                "benches/figures/{name}.svg differs from {name}.json; run \
                 `cargo run --example plots`"
            )
            .into());
        }
    }
    Ok(())
}

/// The cost of a command by the number of stored orders.
fn curve(rows: &[Value]) -> Drawing {
    let mut lines: Vec<Line> = Vec::new();
    for row in rows {
        let skus = number(row, "/skus")?;
        let name = format!("{} SKUs, {} orders", thousands(skus), text(row, "/reach")?);
        let point = (number(row, "/orders")?, number(row, "/ns")?);
        match lines.iter_mut().find(|line| line.name == name) {
            Some(line) => line.points.push(point),
            None => {
                let colour = COLOURS[lines.len() % COLOURS.len()];
                lines.push(Line { name, points: vec![point], colour, thin: false });
            }
        }
    }
    let across = Axis { name: "orders on record", range: 8e3..1.3e7, label: thousands };
    let up = Axis { name: "ns a command", range: 10.0..500.0, label: thousands };
    log_plot("Cost of a command against orders", &across, &up, &lines)
}

/// Latency by load.
fn load(rows: &[Value]) -> Drawing {
    let mut lines = Vec::new();
    for (server, name, thin) in [("noop", "no-op", true), ("loms", "LOMS", false)] {
        let percentiles = [("p50", "p50_us"), ("p99", "p99_us"), ("p99.9", "p999_us")];
        for ((percentile, key), colour) in percentiles.into_iter().zip(COLOURS) {
            let point = |row: &Value| {
                Ok::<_, String>((number(row, "/rate")?, number(row, &format!("/{server}/{key}"))?))
            };
            let points = rows.iter().map(point).collect::<Result<_, _>>()?;
            lines.push(Line { name: format!("{name} {percentile}"), points, colour, thin });
        }
    }
    let across = Axis { name: "calls a second", range: 800.0..2.2e5, label: thousands };
    let up =
        Axis {
            name: "latency from when the call was due, µs", range: 10.0..1e6, label: thousands
        };
    log_plot("Latency against load", &across, &up, &lines)
}

/// Calls per second: LOMS compared with the no-op.
fn thin(rows: &[Value]) -> Drawing {
    let mut drawing = String::new();
    {
        let root = SVGBackend::with_string(&mut drawing, (SIZE.0, 640)).into_drawing_area();
        root.fill(&WHITE)?;
        let names = rows
            .iter()
            .map(|row| {
                let shape = (number(row, "/connections")?, number(row, "/streams")?);
                Ok(format!("{} {}×{}", text(row, "/calls")?, shape.0, shape.1))
            })
            .collect::<Result<Vec<_>, String>>()?;
        let bars: [(&str, &str, RGBColor); 3] = [
            ("no-op", "/noop/calls_per_second", RGBColor(200, 200, 200)),
            ("no-op past the router", "/bare_noop/calls_per_second", RGBColor(140, 140, 140)),
            ("LOMS", "/loms/calls_per_second", COLOURS[0]),
        ];
        let mut most: f64 = 0.0;
        for row in rows {
            for (_, key, _) in bars {
                most = most.max(number(row, key)?);
            }
        }
        // A group of three bars for each row, with room for one more between groups.
        let groups = f64::from(u32::try_from(rows.len())?);
        let mut chart = ChartBuilder::on(&root)
            .caption("Calls a second beside a server that does nothing", ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(140)
            .build_cartesian_2d(0.0..most * 1.75, 0.0..groups)?;
        let label = |place: &f64| {
            let group =
                names.iter().zip(0..).find(|(_, at)| (f64::from(*at) + 0.5 - place).abs() < 0.01);
            group.map(|(name, _)| name.clone()).unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(rows.len() * 2 + 1)
            .y_label_formatter(&label)
            .x_label_formatter(&|value| thousands(*value))
            .x_desc("calls a second")
            .label_style(FONT)
            .draw()?;
        for ((name, key, colour), slot) in bars.into_iter().zip(0..) {
            let rectangles = rows.iter().zip(0..).map(|(row, group)| {
                let low = f64::from(group) + 0.125 + 0.25 * f64::from(slot);
                let length = number(row, key).unwrap_or_default();
                Rectangle::new([(0.0, low), (length, low + 0.25)], colour.filled())
            });
            chart.draw_series(rectangles)?.label(name).legend(move |(x, y)| {
                Rectangle::new([(x, y - 5), (x + 16, y + 5)], colour.filled())
            });
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE)
            .border_style(BLACK)
            .label_font(FONT)
            .draw()?;
        root.present()?;
    }
    Ok(drawing)
}

/// Lines over two axes of powers of ten.
fn log_plot(title: &str, across: &Axis, up: &Axis, lines: &[Line]) -> Drawing {
    let mut drawing = String::new();
    {
        let root = SVGBackend::with_string(&mut drawing, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&root)
            .caption(title, ("sans-serif", 18))
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(72)
            .build_cartesian_2d(across.range.clone().log_scale(), up.range.clone().log_scale())?;
        chart
            .configure_mesh()
            .x_desc(across.name)
            .y_desc(up.name)
            .x_label_formatter(&|value| (across.label)(*value))
            .y_label_formatter(&|value| (up.label)(*value))
            .y_labels(8)
            .max_light_lines(1)
            .label_style(FONT)
            .draw()?;
        for Line { name, points, colour, thin } in lines {
            let style =
                colour.mix(if *thin { 0.4 } else { 1.0 }).stroke_width(if *thin { 1 } else { 2 });
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 20, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE)
            .border_style(BLACK)
            .label_font(FONT)
            .draw()?;
        root.present()?;
    }
    Ok(drawing)
}

fn number(row: &Value, path: &str) -> Result<f64, String> {
    row.pointer(path).and_then(Value::as_f64).ok_or_else(|| format!("no {path} in {row}"))
}

fn text<'a>(row: &'a Value, path: &str) -> Result<&'a str, String> {
    row.pointer(path).and_then(Value::as_str).ok_or_else(|| format!("no {path} in {row}"))
}

/// 1200000 as 1.2 M.
fn thousands(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", value / 1e6),
        1e3.. => format!("{} k", value / 1e3),
        _ => format!("{value}"),
    }
}
