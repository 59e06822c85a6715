//! A chart as SVG: a logarithmic axis below, a linear one at the left, lines, points and their names.

use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 420.0;
/// What is left free around the plot for numbers and names.
const LEFT: f64 = 60.0;
const RIGHT: f64 = 280.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 52.0;

/// Colours that people who confuse some colours can tell apart: six of Okabe and Ito, 2008, a grey,
/// and two dark ones of Tol, 2021. Each way to sleep has the same one in all charts.
pub(crate) const COLOURS: [&str; 9] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#888888", "#882255",
    "#332288",
];
pub(crate) const BLACK: &str = "#000000";

pub(crate) struct Chart {
    svg: String,
    x: (f64, f64),
    y_end: f64,
    names: usize,
}

impl Chart {
    /// A chart whose x goes through these powers of ten, and whose y from zero to `y_end`.
    pub(crate) fn new(title: &str, x: (&str, i32, i32), y: (&str, f64)) -> Self {
        let mut chart = Self {
            svg: String::new(),
            x: (f64::from(x.1), f64::from(x.2)),
            y_end: y.1,
            names: 0,
        };
        chart.add(format_args!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="13"><rect width="100%" height="100%" fill="#fff"/>"##
        ));
        chart.text((LEFT, 24.0), "start", "#000", title);
        for power in x.1..=x.2 {
            let value = 10f64.powi(power);
            let at = chart.at((value, 0.0)).0;
            chart.rule((at, TOP), (at, HEIGHT - BOTTOM));
            chart.text(
                (at, HEIGHT - BOTTOM + 18.0),
                "middle",
                "#555",
                &value.to_string(),
            );
        }
        let middle = (LEFT + WIDTH - RIGHT) / 2.0;
        chart.text((middle, HEIGHT - 12.0), "middle", "#000", x.0);
        for step in 0..=4 {
            let value = y.1 * f64::from(step) / 4.0;
            let at = chart.at((1.0, value)).1;
            chart.rule((LEFT, at), (WIDTH - RIGHT, at));
            chart.text((LEFT - 8.0, at + 4.0), "end", "#555", &value.to_string());
        }
        chart.text((LEFT - 8.0, TOP - 12.0), "end", "#000", y.0);
        chart
    }

    /// Draws a line through points, and lists its name at the right.
    pub(crate) fn line(
        &mut self,
        name: &str,
        colour: &str,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) {
        let mut path = String::new();
        for point in points {
            let (x, y) = self.at(point);
            write!(path, "{x:.1},{y:.1} ").expect("a string takes all");
        }
        let path = path.trim_end();
        self.add(format_args!(
            r#"<polyline fill="none" stroke="{colour}" stroke-width="2" points="{path}"/>"#
        ));
        self.list(name, colour);
    }

    /// Draws a point, and lists its name at the right.
    pub(crate) fn point(&mut self, name: &str, colour: &str, point: (f64, f64)) {
        self.dot(colour, point);
        self.list(name, colour);
    }

    /// Draws a point with a label below it.
    pub(crate) fn label(&mut self, label: &str, colour: &str, point: (f64, f64)) {
        self.dot(colour, point);
        let (x, y) = self.at(point);
        self.text((x - 6.0, y + 18.0), "end", colour, label);
    }

    fn dot(&mut self, colour: &str, point: (f64, f64)) {
        let (x, y) = self.at(point);
        self.add(format_args!(
            r#"<circle cx="{x:.1}" cy="{y:.1}" r="4.5" fill="{colour}"/>"#
        ));
    }

    pub(crate) fn into_svg(mut self) -> String {
        self.svg.push_str("</svg>\n");
        self.svg
    }

    fn list(&mut self, name: &str, colour: &str) {
        let y = TOP + 10.0 + 22.0 * self.names as f64;
        self.names += 1;
        let x = WIDTH - RIGHT + 14.0;
        self.add(format_args!(
            r#"<rect x="{x}" y="{}" width="14" height="4" fill="{colour}"/>"#,
            y - 6.0
        ));
        self.text((x + 22.0, y), "start", "#000", name);
    }

    /// Returns where a point lies on the page; one outside the axes is moved to the edge.
    fn at(&self, (x, y): (f64, f64)) -> (f64, f64) {
        let across = (x.log10() - self.x.0) / (self.x.1 - self.x.0);
        let up = y / self.y_end;
        (
            LEFT + across.clamp(0.0, 1.0) * (WIDTH - LEFT - RIGHT),
            HEIGHT - BOTTOM - up.clamp(0.0, 1.0) * (HEIGHT - TOP - BOTTOM),
        )
    }

    fn rule(&mut self, from: (f64, f64), to: (f64, f64)) {
        self.add(format_args!(
            r##"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" stroke="#ddd"/>"##,
            from.0, from.1, to.0, to.1
        ));
    }

    fn text(&mut self, at: (f64, f64), anchor: &str, colour: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        self.add(format_args!(
            r#"<text x="{:.1}" y="{:.1}" text-anchor="{anchor}" fill="{colour}">{text}</text>"#,
            at.0, at.1
        ));
    }

    fn add(&mut self, element: std::fmt::Arguments<'_>) {
        writeln!(self.svg, "{element}").expect("a string takes all");
    }
}
